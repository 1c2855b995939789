"""The metrics at both ends of a log, NaN wherever it says so, and the log's last bytes, in constant memory."""

from collections import deque
from collections.abc import Iterable, Iterator

from services.core.loglines import clean
from services.core.metric_styles import read_line
from services.core.metric_table import MetricTable
from services.core.series import SeriesParser

METRIC_BYTES = 1 << 20
BLOCK_BYTES = 256 << 10
_MAX_LINE_BYTES = 2_000
_MAX_NAN_LINES = 1_000
_TAIL_BYTES = 64 << 10
_NAN = (b"nan", b"NaN", b"NAN")


class Numbers:
    """Reads blocks of `BLOCK_BYTES`. `is_whole` is false if metrics in the middle of the log were not read."""

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
            if len(self._kept) * BLOCK_BYTES > METRIC_BYTES + BLOCK_BYTES:
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
