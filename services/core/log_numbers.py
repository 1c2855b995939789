"""The metrics at both ends of a log, and between them those of evaluations and those that are NaN; and its last bytes.

A reader for each number would be the slowest part of a digest by far; every point of every series is had elsewhere.
"""

from collections.abc import Iterable, Iterator

from services.core.loglines import clean
from services.core.metric_styles import read_line
from services.core.metric_table import MetricTable
from services.core.series import SeriesParser

METRIC_BYTES = 64 << 10
"""So much is read at the end of a log, and half of it at the beginning."""

_MAX_LINE_BYTES = 2_000
_MAX_NAN_LINES = 1_000
# Few lines tell of evaluations; where many seem to, it is something else.
_MAX_EVALUATIONS = 40
_NAN = (b"nan", b"NaN", b"NAN")
_EVALUATION = (b"val", b"Val", b"VAL", b"test", b"Test")


class Numbers:
    """Reads blocks. `is_whole` is false if metrics in the middle of the log were not all read."""

    def __init__(self) -> None:
        self.size = 0
        self.table = MetricTable()
        self.is_whole = True
        self.tail = b""
        self._parser = SeriesParser()
        self._head_left = METRIC_BYTES // 2
        self._nan_lines = 0

    def read(self, block: bytes) -> None:
        self.size += len(block)
        kept = self.tail + block
        extra = len(kept) - METRIC_BYTES
        if extra > 0:
            cut = kept.rfind(b"\n", 0, extra) + 1 or extra
            self._pass(kept[:cut])
            kept = kept[cut:]
        self.tail = kept

    def finish(self) -> None:
        """Read the metrics at the end of the log."""
        if not self.is_whole:
            self.table.add(self._parser.finish())
            self._parser = SeriesParser()
        self.table.add(self._parser.feed(self.tail))
        self.table.add(self._parser.finish())

    def _pass(self, piece: bytes) -> None:
        head = piece[: self._head_left]
        if head:
            if len(head) < len(piece):
                head = head[: head.rfind(b"\n") + 1] or head
            self._head_left = 0 if len(head) < len(piece) else self._head_left - len(head)
            self.table.add(self._parser.feed(head))
        if len(head) < len(piece):
            self.is_whole = False
            self._search(piece[len(head) :])

    def _search(self, piece: bytes) -> None:
        starts = set()
        if self._nan_lines < _MAX_NAN_LINES:
            starts = set(_lines_with(piece, _NAN, _MAX_NAN_LINES - self._nan_lines))
            self._nan_lines += len(starts)
        for start in sorted(starts.union(_lines_with(piece, _EVALUATION, _MAX_EVALUATIONS))):
            line = piece[start : start + _MAX_LINE_BYTES].partition(b"\n")[0]
            self.table.add(read_line(clean(line.decode(errors="replace"))))


def _lines_with(data: bytes, words: Iterable[bytes], most: int) -> Iterator[int]:
    """Where the first lines begin that contain one of the words; a line can come once for each."""
    left = most
    for word in words:
        hit = data.find(word)
        while hit >= 0 and left:
            left -= 1
            yield data.rfind(b"\n", 0, hit) + 1
            end = data.find(b"\n", hit)
            hit = data.find(word, end) if end >= 0 else -1
