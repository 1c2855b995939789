"""What in a log may be the reason of a failure: its exceptions and lines, each with the row of the table it fits."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from services.core.diagnosis.finding import DecisiveLine
from services.core.diagnosis.rule import LIBRARY, Rule, Words
from services.core.diagnosis.rules import exceptions_book, lines_book
from services.core.log_scan import Scan
from services.core.log_sightings import Context, Crash, Template, words_of
from services.core.log_writers import Raw
from services.core.loglines import LogLine, clean
from services.core.taxonomy import Failure
from services.core.tracebacks import Part

_UNKNOWN = Rule(Failure.CODE_ERROR, 0.4)
_GENERIC = 0.55
_MAX_TEXT = 400
_MESSAGE_LINES = 8
_NEXT_LINES = 4
_LAST_LINES = 30
_FIRM = 0.85
# What stands before an exception that a program has caught and told of.
_HANDLED = (
    "exception ignored in",
    "error in atexit",
    "skipping",
    "will retry",
    "retrying",
    "ignoring",
    "continuing",
    "falling back",
    "--- logging error ---",
    "could not load sample",
)
# So many lines after it: its writer went on as if nothing had been.
_WENT_ON = 100


@dataclass(frozen=True)
class Candidate:
    """One possible reason. `offset` and `number` say where it stands, `is_exception` whether it is a traceback's.

    `is_handled`: its program went on after it. `lines_after` is how many lines its writer still wrote.
    """

    rule: Rule
    offset: int
    number: int
    writer: bytes
    text: str
    lines: tuple[DecisiveLine, ...]
    context: Context
    is_exception: bool
    is_handled: bool = False
    lines_after: int = 0
    is_outermost: bool = False
    gravity: int = 0

    @property
    def failure(self) -> Failure:
        assert self.rule.failure is not None
        return self.rule.failure

    @property
    def is_generic(self) -> bool:
        return self.rule.sure < _GENERIC


def exceptions(found: Scan) -> list[Candidate]:
    """The exceptions, in the order of the log."""
    return [_of_crash(crash) for crash in found.crashes]


def lines(found: Scan) -> list[Candidate]:
    """The lines that a row of the table knows, in the order of the log: those that tell of trouble, and the last."""
    known = [
        _of_template(one, found) for one in found.templates if one.rule is not None and one.rule.failure is not None
    ]
    seen = {one.offset for one in found.templates}
    last = [
        (line, lines_book().best(words_of(line.text))) for line in found.tail[-_LAST_LINES:] if line.offset not in seen
    ]
    known += [_of_last(line, row) for line, row in last if row is not None and row.failure is not None]
    return sorted(known, key=lambda one: one.offset)


def _of_crash(crash: Crash) -> Candidate:
    part, row = _chosen(crash)
    before = " ".join(clean(line.data.decode(errors="replace")) for line in crash.context.before[-1:]).lower()
    first = crash.chain.parts[-1].outermost
    return Candidate(
        rule=row,
        offset=crash.chain.offset,
        number=part.place.line,
        writer=crash.writer,
        text=part.message[0][:_MAX_TEXT] if part.message else "",
        lines=tuple(_decisive(part, crash)),
        context=crash.context,
        is_exception=True,
        is_handled=any(word in before for word in _HANDLED),
        lines_after=crash.lines_after,
        is_outermost="<module>" in first or "bin/" in first,
    )


def _chosen(crash: Crash) -> tuple[Part, Rule]:
    """The exception of the chain that says most, the root cause where several do; and what it says."""
    parts = [part for part in crash.chain.parts if part.message] or list(crash.chain.parts)
    rows = [exceptions_book().best(words_of_part(part)) or _UNKNOWN for part in parts]
    part, row = max(zip(parts, rows, strict=True), key=lambda pair: (not pair[1].follows, pair[1].sure))
    if part is parts[-1] and (row.follows or row.sure < _GENERIC):
        # The rest of a message of several lines, or what native code said of it.
        said = exceptions_book().best(Words(_text(crash.after)))
        if said is not None and said.sure >= _FIRM and not said.follows:
            return part, said
    return part, row


def words_of_part(part: Part) -> Words:
    """An exception as the rules read it."""
    text = "\n".join(part.message)
    frames = "\n".join(line for frame in part.frames for line in frame.lines)
    last = part.frames[-1:]
    own = [frame for frame in part.frames if not frame.is_library][-1:]
    site = "\n".join(line for frame in (*own, *last) for line in frame.lines)
    if last and last[0].is_library:
        site += f"\n{LIBRARY}"
    return Words(
        text, words_of(part.message[0]).type or part.message[0].strip().rpartition(".")[2] if text else "", frames, site
    )


def _decisive(part: Part, crash: Crash) -> Iterator[DecisiveLine]:
    """The message, with the lines it goes on over, and what its writer said next."""
    offset = part.place.offset
    for index, text in enumerate(part.message[:_MESSAGE_LINES]):
        yield DecisiveLine(offset, part.place.line + index, text[:_MAX_TEXT])
        offset += len(text.encode(errors="replace")) + 1 + len(crash.chain.prefix)
    if part is crash.chain.parts[-1]:
        said = [line for line in map(decisive, crash.after) if line.text]
        yield from said[:_NEXT_LINES]


def _text(lines: Iterable[Raw]) -> str:
    return "\n".join(decisive(line).text for line in lines)


def _of_template(template: Template, found: Scan) -> Candidate:
    assert template.rule is not None
    text = template.example.strip()[:_MAX_TEXT]
    last = found.writers.last_of(template.writer)
    return Candidate(
        rule=template.rule,
        offset=template.offset,
        number=template.number,
        writer=template.writer,
        text=text,
        lines=(DecisiveLine(template.offset, template.number, text),),
        context=template.context,
        is_exception=False,
        lines_after=sum(line.number > template.last_number for line in last),
        gravity=template.gravity,
    )


def _of_last(line: LogLine, row: Rule) -> Candidate:
    text = line.text.strip()[:_MAX_TEXT]
    lines = (DecisiveLine(line.offset, 0, text),)
    return Candidate(row, line.offset, 0, b"", text, lines, Context(), is_exception=False)


def decisive(line: Raw) -> DecisiveLine:
    """A raw line as it may be shown."""
    return DecisiveLine(line.offset, line.number, clean(line.data.decode(errors="replace")).strip()[:_MAX_TEXT])


def went_on(candidate: Candidate) -> Candidate:
    """The candidate, handled if its writer wrote much after it."""
    return replace(candidate, is_handled=candidate.is_handled or candidate.lines_after > _WENT_ON)
