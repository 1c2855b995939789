"""What follows a log as text: of one rank (or of an attempt that has only one), or of all ranks together."""

import codecs
from typing import Protocol

from services.api.feed import Feed
from services.core.keys import rank_id
from services.core.logs import LogStore
from services.core.merged import MergedLog

_CHUNK_BYTES = 64 * 1024


class Reader(Protocol):
    """Reads on from where it stands. Bytes that are no UTF-8 are shown as U+FFFD."""

    position: int
    """The offset behind what was read."""

    def read(self, *, is_last: bool) -> str:
        """The next whole characters, '' where there are none now. `is_last`: no more bytes will come."""
        ...

    def has_news(self, feed: Feed) -> bool:
        """Whether there is said to be more."""
        ...


class OneLog:
    """A `Reader` of one log."""

    def __init__(self, logs: LogStore, name: str, position: int) -> None:
        self._logs = logs
        self._name = name
        self.position = position

    def read(self, *, is_last: bool) -> str:
        data = self._logs.read(self._name, self.position, _CHUNK_BYTES)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data, final=is_last and len(data) < _CHUNK_BYTES)
        self.position += len(data) - len(decoder.getstate()[0])
        return text

    def has_news(self, feed: Feed) -> bool:
        return feed.log_bytes.get(self._name, 0) > self.position


class AllLogs:
    """A `Reader` of the logs of all ranks."""

    def __init__(self, logs: LogStore, attempt: str, nodes: int, position: int) -> None:
        self._merged = MergedLog(logs, attempt, nodes)
        self._names = [rank_id(attempt, rank) for rank in range(nodes)]
        self._skip = position
        self.position = position

    def read(self, *, is_last: bool) -> str:
        for piece in self._merged.all(self._skip, is_last=is_last):
            self._skip = 0
            self.position += len(piece)
            return piece.decode(errors="replace")
        return ""

    def has_news(self, feed: Feed) -> bool:
        return sum(feed.log_bytes.get(name, 0) for name in self._names) > self._merged.taken_bytes
