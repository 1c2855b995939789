"""One pass over a log of any size: what may matter in it, in constant memory and mostly at the speed of `bytes.find`.

Only lines that contain a telling word are looked at one by one; the rest is searched as blocks. Metrics are read from
the first and the last part of the log, and wherever it says NaN.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from services.core.loglines import LogLine, LogLines, clean
from services.core.metric_styles import read_line
from services.core.metric_table import MetricTable
from services.core.series import SeriesParser
from services.core.tracebacks import HEADER, Tracer

METRIC_BYTES = 1 << 20
_BLOCK_BYTES = 256 << 10
_MAX_LINE_BYTES = 2_000
_MAX_TEMPLATES = 1_000
_MAX_TEMPLATE = 300
_MAX_NAN_LINES = 1_000
_TAIL_BYTES = 64 << 10

# Without any of these, in lower case, no line is worth a look.
_TELLING = (
    *(b"traceback (most", b'  file "', b"error", b"exception", b"fatal", b"critical", b"panic", b"failed", b"killed"),
    *(b"aborted", b"segmentation", b"core dumped", b"out of memory", b"no space left", b"denied", b"cannot "),
    *(b"no such file", b"terminate called", b"timed out"),
)
_MAX_KNOWN_BYTES = 8 << 20
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_HEADER = HEADER.encode()
_NAN = (b"nan", b"NaN", b"NAN")
_MASKED = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_GRAVE = re.compile(
    r"\b[A-Z]\w*(?:Error|Exception)\b|\bFATAL\b|\bCRITICAL\b|\bKilled\b|[Ss]egmentation|core dumped|[Oo]ut of memory"
    r"|No space left|\bpanic|\bAborted\b|[Bb]us error|[Ff]atal|terminate called"
)
_PLAIN = re.compile(
    r"\bERROR\b|\bFAILED\b|[Ee]rror\b(?!\s*[=:]\s*[-+.\d]|\s+(?:rate|budget|bars?)\b)|\b[Ff]ailed\b|\b[Cc]annot\b"
    r"|[Dd]enied|No such file|[Tt]imed out|[Ee]xception\b"
)


@dataclass
class Template:
    """A form of line that tells of trouble, its numbers masked: its first line, where that begins, how many came."""

    example: str
    offset: int
    gravity: int
    count: int = 0


@dataclass(frozen=True)
class Scan:
    """What one pass found. `metrics_whole` is false if metrics in the middle of the log were not read."""

    size: int
    tracer: Tracer
    templates: tuple[Template, ...]
    templates_left_out: int
    metrics: MetricTable
    metrics_whole: bool
    tail: tuple[LogLine, ...]


def scan(log: Iterable[bytes]) -> Scan:
    """Read a log to its end. Deterministic, however the bytes are cut into pieces."""
    search = _Search()
    numbers = _Numbers()
    for block in _blocks(log):
        search.read(block)
        numbers.read(block)
    search.finish()
    numbers.finish()
    return Scan(
        numbers.size,
        search.tracer,
        tuple(search.templates.values()),
        search.left_out,
        numbers.table,
        numbers.is_whole,
        tuple(_last_lines(numbers.tail, numbers.size - len(numbers.tail))),
    )


def _blocks(log: Iterable[bytes]) -> Iterator[bytes]:
    """The log in pieces of equal size, so that nothing depends on how it came."""
    kept = bytearray()
    for piece in log:
        for start in range(0, len(piece), _BLOCK_BYTES):
            kept += piece[start : start + _BLOCK_BYTES]
            if len(kept) >= _BLOCK_BYTES:
                yield bytes(kept[:_BLOCK_BYTES])
                del kept[:_BLOCK_BYTES]
    if kept:
        yield bytes(kept)


class _Search:
    """Tracebacks and lines that tell of trouble.

    A log is few forms of lines, much repeated: what a form, that is a line with its digits masked, says is found out
    once and remembered.
    """

    def __init__(self) -> None:
        self.tracer = Tracer()
        self.templates: dict[str, Template] = {}
        self.left_out = 0
        self._offset = 0
        self._rest = b""
        self._known: set[bytes] = set()
        self._known_bytes = 0
        self._telling: set[bytes] = set()
        self._template_of: dict[bytes, Template | None] = {}

    def read(self, block: bytes) -> None:
        data = self._rest + block
        # A line that never ends is cut where the block does.
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 or len(data)
        self._rest = data[end:]
        self._lines(data[:end].replace(b"\r", b"\n"))
        self._offset += end

    def finish(self) -> None:
        """The log is over: what is left is its last line."""
        self._lines(self._rest)
        self.tracer.finish()

    def _lines(self, data: bytes) -> None:
        forms = data.translate(_DIGITS).split(b"\n")
        self._learn(set(forms) - self._known)
        if not self.tracer.is_open and self._telling.isdisjoint(forms):
            return
        offset = self._offset
        for line, form in zip(data.split(b"\n"), forms, strict=True):
            if self.tracer.is_open or form in self._telling:
                self._line(line, form, offset)
            offset += len(line) + 1

    def _learn(self, forms: set[bytes]) -> None:
        text = b"\n".join(forms)
        self._known_bytes += len(text)
        if self._known_bytes > _MAX_KNOWN_BYTES:
            for memory in (self._known, self._telling, self._template_of):
                memory.clear()
            self._known_bytes = len(text)
        self._known |= forms
        words = [word for word in _TELLING if word in text.lower()]
        if words:
            self._telling.update(form for form in forms if any(map(form.lower().__contains__, words)))

    def _line(self, line: bytes, form: bytes, offset: int) -> None:
        raw = line[:_MAX_LINE_BYTES]
        if self.tracer.is_open or _HEADER in raw or raw.startswith(b'  File "'):
            text = clean(raw.decode(errors="replace"))
            if self.tracer.read(text, offset) or form not in self._telling:
                return
        if form not in self._template_of:
            self._template_of[form] = self._template(clean(raw.decode(errors="replace")), offset)
        template = self._template_of[form]
        if template is not None:
            template.count += 1

    def _template(self, text: str, offset: int) -> Template | None:
        gravity = 2 if _GRAVE.search(text) else 1 if _PLAIN.search(text) else 0
        if not gravity:
            return None
        form = _MASKED.sub("#", text[:_MAX_TEMPLATE])
        if form not in self.templates and len(self.templates) >= _MAX_TEMPLATES:
            self.left_out += 1
            return None
        return self.templates.setdefault(form, Template(text, offset, gravity))


class _Numbers:
    """Metrics at both ends of the log, NaN anywhere, and the log's last bytes."""

    def __init__(self) -> None:
        self.size = 0
        self.table = MetricTable()
        self.is_whole = True
        self.tail = b""
        self._parser = SeriesParser()
        self._nan_lines = 0
        self._kept: deque[bytes] = deque()

    def read(self, block: bytes) -> None:
        if self.size < METRIC_BYTES:
            self.table.add(self._parser.feed(block))
        else:
            self._kept.append(block)
            if len(self._kept) * _BLOCK_BYTES > METRIC_BYTES + _BLOCK_BYTES:
                self.is_whole = False
                self._look_for_nan(self._kept.popleft())
        self.size += len(block)
        self.tail = (self.tail + block)[-_TAIL_BYTES:]

    def finish(self) -> None:
        """Read the metrics at the end of the log."""
        rest = b"".join(self._kept)
        if not self.is_whole:
            self.table.add(self._parser.finish())
            self._parser = SeriesParser()
            rest = rest[rest.find(b"\n") + 1 :]
        self.table.add(self._parser.feed(rest))
        self.table.add(self._parser.finish())

    def _look_for_nan(self, block: bytes) -> None:
        if self._nan_lines >= _MAX_NAN_LINES:
            return
        for start in sorted(set(_lines_with(block, _NAN))):
            self._nan_lines += 1
            if self._nan_lines > _MAX_NAN_LINES:
                return
            line = block[start : start + _MAX_LINE_BYTES].partition(b"\n")[0]
            found = read_line(clean(line.decode(errors="replace")))
            self.table.add(metric for metric in found if metric.value != metric.value)


def _lines_with(data: bytes, words: Iterable[bytes]) -> Iterator[int]:
    """Where the lines begin that contain one of the words; a line can come once for each."""
    for word in words:
        hit = data.find(word)
        while hit >= 0:
            yield data.rfind(b"\n", 0, hit) + 1
            end = data.find(b"\n", hit)
            hit = data.find(word, end) if end >= 0 else -1


def _last_lines(tail: bytes, start: int) -> Iterator[LogLine]:
    """The last lines as a terminal would have left them, without blank ones.

    A first one that is cut counts only where it is all there is.
    """
    if start and (whole := tail.find(b"\n") + 1) and tail[whole:].strip():
        tail, start = tail[whole:], start + whole
    lines = LogLines()
    rewritten: LogLine | None = None
    for line in [*lines.feed(tail), *lines.finish()]:
        text = clean(line.text).rstrip()
        if text:
            rewritten = replace(line, text=text, offset=start + line.offset)
        if rewritten and not line.is_rewritten:
            yield rewritten
            rewritten = None
    if rewritten:
        yield rewritten
