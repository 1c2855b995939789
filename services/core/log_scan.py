"""One pass over a log of any size: what may matter in it, in constant memory and mostly at the speed of `bytes.find`.

Only lines that contain a telling word are looked at one by one; the rest is searched as blocks. Metrics are read from
the first and the last part of the log, and of evaluations and NaN anywhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from services.core.log_numbers import METRIC_BYTES, Numbers
from services.core.log_sightings import Crash, Template
from services.core.log_trouble import Trouble
from services.core.log_writers import Writers
from services.core.loglines import LogLine, LogLines, clean
from services.core.metric_table import MetricTable
from services.core.tracebacks import Tracer

__all__ = ["METRIC_BYTES", "Crash", "Scan", "Template", "scan"]


BLOCK_BYTES = 256 << 10


@dataclass(frozen=True)
class Scan:
    """What one pass found. `metrics_whole` is false if metrics in the middle of the log were not read.

    `crashes` are exceptions, in the order of the log: the first of each kind, and the last of all.
    """

    size: int
    tracer: Tracer
    crashes: tuple[Crash, ...]
    templates: tuple[Template, ...]
    templates_left_out: int
    writers: Writers
    metrics: MetricTable
    metrics_whole: bool
    tail: tuple[LogLine, ...]


def scan(log: Iterable[bytes]) -> Scan:
    """Read a log to its end. Deterministic, however the bytes are cut into pieces."""
    trouble, numbers = Trouble(), Numbers()
    for block in _blocks(log):
        trouble.read(block)
        numbers.read(block)
    trouble.finish()
    numbers.finish()
    return Scan(
        numbers.size,
        trouble.tracer,
        tuple(sorted(trouble.crashes, key=lambda crash: crash.chain.offset)),
        tuple(trouble.templates.values()),
        trouble.left_out,
        trouble.writers,
        numbers.table,
        numbers.is_whole,
        tuple(_last_lines(numbers.tail, numbers.size - len(numbers.tail))),
    )


def _blocks(log: Iterable[bytes]) -> Iterator[bytes]:
    """The log in pieces of equal size, so that nothing depends on how it came."""
    kept = bytearray()
    for piece in log:
        for start in range(0, len(piece), BLOCK_BYTES):
            kept += piece[start : start + BLOCK_BYTES]
            if len(kept) >= BLOCK_BYTES:
                yield bytes(kept[:BLOCK_BYTES])
                del kept[:BLOCK_BYTES]
    if kept:
        yield bytes(kept)


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
