"""What in a log tells of trouble: exceptions in their surroundings, and lines that speak of a failure, by their form.

A log is few forms of lines, much repeated: what a form, that is a line with its digits masked, says is found out once
and remembered.
"""

import re

from services.core.diagnosis.rules import lines_book
from services.core.log_sightings import Context, Crash, Template, words_of
from services.core.log_writers import Raw, Writers, writer_of
from services.core.loglines import clean
from services.core.tracebacks import HEADER, Chain, Tracer

_MAX_LINE_BYTES = 2_000
_MAX_TEMPLATES = 1_000
_MAX_TEMPLATE = 300
_MAX_CRASHES = 40
# More forms than this are not of use to anybody; exceptions and the last lines are still read.
_MAX_JUDGED = 20_000
_MAX_CONTEXTS = 60
_AFTER_LINES = 14
# Among those of others, what a writer says next comes soon or not at all.
_FOLLOWED_LINES = 200

# Without any of these, in lower case, no line is worth a look.
_TELLING = (
    *(b"traceback (most", b'  file "', b"error", b"exception", b"fatal", b"critical", b"panic", b"fail", b"kill"),
    *(
        b"abort",
        b"segmentation",
        b"core dumped",
        b"out of memory",
        b"oom",
        b"no space",
        b"denied",
        b"cannot ",
        b"can't ",
    ),
    *(b"no such", b"terminat", b"timed out", b"timeout", b"not found", b"xid", b"preempt", b"evict", b"sigterm"),
    *(
        b"interrupt",
        b"cancelled",
        b"illegal",
        b"invalid",
        b"mismatch",
        b"unable to",
        b"exceed",
        b"refused",
        b"unreachable",
    ),
    *(
        b"unrecognized",
        b" nan",
        b"non-finite",
        b"diverged",
        b"diverging",
        b"deadlock",
        b"stuck",
        b"assert",
        b"too many",
        b"already in use",
    ),
    *(
        b"longer than",
        b"time limit",
        b"corrupt",
        b"truncated",
        b"not installed",
        b"no module",
        b" ecc",
        b"unauthorized",
    ),
    *(
        b"forbidden",
        b"quota",
        b"rate limit",
        b"connection closed",
        b"connection reset",
        b"unexpected",
        b"low on resource",
    ),
    *(b"not supported", b"fallen off", b"hang", b"signal", b"no progress", b"fork", b"unavailable"),
    *(b"could not", b"not enough", b"unbound", b"not in struct", b"missing", b"must be", b"required", b"is nan"),
    *(b"died", b"enospc", b"double free", b"insufficient", b"incompatible", b"bad_alloc", b"shutting down", b"resolve"),
)
_MAX_KNOWN_BYTES = 8 << 20
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_HEADER = HEADER.encode()
_MASKED = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_GRAVE = re.compile(
    r"\b[A-Z]\w*(?:Error|Exception)\b|\bFATAL\b|\bCRITICAL\b|\bKilled\b|[Ss]egmentation|core dumped|[Oo]ut of memory"
    r"|No space left|\bpanic|\bAborted\b|[Bb]us error|[Ff]atal|terminate called"
)
_PLAIN = re.compile(
    r"\bERROR\b|\bFAILED\b|[Ee]rror\b(?!\s*[=:]\s*[-+.\d]|\s+(?:rate|budget|bars?)\b)|\b[Ff]ailed\b|\b[Cc]annot\b"
    r"|[Dd]enied|No such file|[Tt]imed out|[Ee]xception\b"
)


class Trouble:
    """Reads blocks of whole lines."""

    def __init__(self) -> None:
        self.tracer = Tracer(self._crashed)
        self.crashes: list[Crash] = []
        self.templates: dict[str, Template] = {}
        self.left_out = 0
        self._judged = 0
        self.writers = Writers()
        self._book = lines_book()
        self._offset = 0
        self._number = 1
        self._rest = b""
        self._known: set[bytes] = set()
        self._known_bytes = 0
        self._telling: set[bytes] = set()
        self._template_of: dict[bytes, Template | None] = {}
        self._contexts: dict[int, tuple[bytes, Context]] = {}
        self._signatures: dict[str, Crash] = {}
        self._followed: Crash | None = None
        self._follow_left = 0

    def read(self, block: bytes) -> None:
        data = self._rest + block
        # A line that never ends is cut where the block does.
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 or len(data)
        self._rest = data[end:]
        self._lines(data[:end])
        self._offset += end

    def finish(self) -> None:
        """The log is over: what is left is its last line."""
        self._lines(self._rest)
        self.tracer.finish()
        for crash in self.crashes:
            crash.lines_after += self.writers.counts.get(crash.writer, 0)

    def _lines(self, raw: bytes) -> None:
        data = raw.replace(b"\r", b"\n")
        lines, forms = data.split(b"\n"), data.translate(_DIGITS).split(b"\n")
        if not lines[-1]:
            lines.pop(), forms.pop()
        self._learn(set(forms) - self._known)
        if not self.tracer.is_open and self._followed is None and self._telling.isdisjoint(forms):
            self.writers.add_all(lines, self._offset, self._number, raw, self._offset)
        else:
            self._walk(lines, forms, raw)
        self._number += raw.count(b"\n")

    def _walk(self, lines: list[bytes], forms: list[bytes], raw: bytes) -> None:
        """Look at what tells, line by line, and at what lies between only for who wrote it."""
        telling = [at for at, form in enumerate(forms) if form in self._telling]
        at, place = 0, (self._offset, self._number)
        for next_telling in [*telling, len(lines)]:
            while at < next_telling and (self.tracer.is_open or self._followed is not None):
                place = self._look(lines[at], forms[at], place, raw)
                at += 1
            if at < next_telling:
                place = self.writers.add_all(lines[at:next_telling], *place, raw, self._offset)
                at = next_telling
            if at == next_telling < len(lines):
                place = self._look(lines[at], forms[at], place, raw)
                at += 1

    def _look(self, line: bytes, form: bytes, place: tuple[int, int], raw: bytes) -> tuple[int, int]:
        """Look at one line; where the next one begins."""
        here = Raw(*place, line[:_MAX_LINE_BYTES])
        if not ((self.tracer.is_open or form in self._telling) and self._line(here, form)):
            writer = writer_of(line)
            self.writers.add(writer, here)
            if self._followed is not None:
                self._follow(writer, here)
        offset = place[0] + len(line) + 1
        return offset, place[1] + (raw[offset - self._offset - 1 : offset - self._offset] == b"\n")

    def _learn(self, forms: set[bytes]) -> None:
        text = b"\n".join(forms)
        self._known_bytes += len(text)
        if self._known_bytes > _MAX_KNOWN_BYTES:
            for memory in (self._known, self._telling, self._template_of):
                memory.clear()
            self._known_bytes = len(text)
        self._known |= forms
        lowered = text.lower()
        words = [word for word in _TELLING if word in lowered]
        if words:
            self._telling.update(form for form in forms if any(map(form.lower().__contains__, words)))

    def _line(self, line: Raw, form: bytes) -> bool:
        """Whether the line belongs to a traceback."""
        if self.tracer.is_open or _HEADER in line.data or line.data.startswith(b'  File "'):
            opened = self.tracer.opened
            belongs = self.tracer.read(clean(line.data.decode(errors="replace")), line.offset, line.number)
            if self.tracer.opened > opened:
                writer = writer_of(line.data)
                self._contexts[line.offset] = writer, self._context(writer)
            if belongs:
                self._followed = None
                return True
            if form not in self._telling:
                return False
        if form not in self._template_of:
            self._template_of[form] = self._template(line)
        template = self._template_of[form]
        if template is not None:
            template.count += 1
            template.last_number = line.number
        return False

    def _context(self, writer: bytes) -> Context:
        return Context(self.writers.last_of(writer), self.writers.last_of_others(writer))

    def _template(self, line: Raw) -> Template | None:
        text = clean(line.data.decode(errors="replace"))
        found = self.templates.get(form := _MASKED.sub("#", text[:_MAX_TEMPLATE]))
        if found is not None:
            return found
        self._judged += 1
        if self._judged > _MAX_JUDGED:
            self.left_out += 1
            return None
        row = self._book.best(words_of(text))
        gravity = 2 if _GRAVE.search(text) else 1 if _PLAIN.search(text) else 0
        if row is not None and row.failure is None:
            row, gravity = None, gravity - 2
        if gravity < 0 or (not gravity and row is None):
            return None
        if len(self.templates) >= _MAX_TEMPLATES:
            self.left_out += 1
            return None
        writer = writer_of(line.data)
        context = self._context(writer) if row is not None and len(self.templates) < _MAX_CONTEXTS else Context()
        template = Template(text, line.offset, gravity, 0, line.number, row, writer, context)
        return self.templates.setdefault(form, template)

    def _crashed(self, chain: Chain) -> None:
        writer, context = self._contexts.pop(chain.offset, (b"", Context()))
        signature = _MASKED.sub("#", " ".join(part.message[0] for part in chain.parts if part.message)[:_MAX_TEMPLATE])
        known = self._signatures.get(signature)
        if known is not None:
            known.count += 1
            return
        crash = Crash(chain, writer, context, lines_after=-self.writers.counts.get(writer, 0))
        if len(self.crashes) >= _MAX_CRASHES:
            # The first say what it began with, the last what it ended with.
            del self._signatures[next(key for key, one in self._signatures.items() if one is self.crashes[-1])]
            self.crashes.pop()
        self.crashes.append(crash)
        self._signatures[signature] = self._followed = crash
        self._follow_left = _FOLLOWED_LINES

    def _follow(self, writer: bytes, line: Raw) -> None:
        """What a crash's writer says next is often the rest of its message."""
        crash = self._followed
        self._follow_left -= 1
        if crash is not None and writer == crash.writer:
            crash.after.append(line)
        if crash is not None and (len(crash.after) >= _AFTER_LINES or self._follow_left <= 0):
            self._followed = None
