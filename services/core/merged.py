"""The logs of all ranks of an attempt as one, line by line in the order in which they came.

What a rank wrote is put in when the API had it, a line when it is whole, with `[rank N] ` before it. The same logs give
the same bytes, and what is added later comes behind them: a place in them can be come back to.
"""

from collections.abc import Iterator

from services.core.keys import rank_id
from services.core.logs import MAX_TURNS, LogStore

_PIECE_BYTES = 256 * 1024
_LINE_BYTES = 64 * 1024
_BATCH = 1_000


class MergedLog:
    """One reader of an attempt on several nodes. Holds a piece, and of each rank no more than a line."""

    def __init__(self, logs: LogStore, attempt: str, nodes: int) -> None:
        self._logs = logs
        self._attempt = attempt
        self._taken = [0] * nodes
        self._rest = [b""] * nodes
        self._turn = 0

    @property
    def taken_bytes(self) -> int:
        """How much of the ranks' logs has been read."""
        return sum(self._taken)

    def more(self, *, is_last: bool) -> bytes:
        """The next bytes, b'' where there are none now. `is_last`: no rank writes any more, so the last lines are
        whole as they are."""
        while turns := self._logs.turns(self._attempt, self._turn, _BATCH):
            for place, (rank, size) in enumerate(turns):
                if text := self._take(rank, size):
                    self._turn += place
                    return text
            if len(turns) == 1:
                # The last one may still grow: it is looked at again.
                break
            self._turn += len(turns) - 1
        return self._unnoted(is_last) or (self._last_lines() if is_last else b"")

    def all(self, skip: int = 0, limit: int | None = None, *, is_last: bool) -> Iterator[bytes]:
        """What there is now, without its first `skip` bytes, `limit` bytes at most."""
        while (limit is None or limit > 0) and (piece := self.more(is_last=is_last)):
            kept = piece[skip:] if limit is None else piece[skip : skip + limit]
            skip = max(0, skip - len(piece))
            limit = None if limit is None else limit - len(kept)
            if kept:
                yield kept

    def _take(self, rank: int, size: int) -> bytes:
        """The next whole lines of a rank, whose log is read up to `size`."""
        lines: list[bytes] = []
        while not lines and self._taken[rank] < size:
            wanted = min(_PIECE_BYTES, size - self._taken[rank])
            data = self._logs.read(rank_id(self._attempt, rank), self._taken[rank], wanted)
            if not data:
                break
            self._taken[rank] += len(data)
            lines, self._rest[rank] = _cut(self._rest[rank] + data)
        return _marked(rank, lines)

    def _unnoted(self, is_last: bool) -> bytes:
        """What came when no more turns were noted, or ends a log after its last turn."""
        if not is_last and self._turn < MAX_TURNS - 1:
            return b""
        for rank in range(len(self._taken)):
            size = self._logs.size(rank_id(self._attempt, rank))
            if text := self._take(rank, size):
                return text
        return b""

    def _last_lines(self) -> bytes:
        text = b"".join(_marked(rank, [rest]) for rank, rest in enumerate(self._rest) if rest)
        self._rest = [b""] * len(self._rest)
        return text


def _cut(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole lines, and what is left. An endless one is cut, at the same places however its bytes came."""
    lines, start = [], 0
    while True:
        end = data.find(b"\n", start, start + _LINE_BYTES)
        if end >= 0:
            lines.append(data[start:end])
            start = end + 1
        elif len(data) - start >= _LINE_BYTES:
            lines.append(data[start : start + _LINE_BYTES])
            start += _LINE_BYTES
        else:
            return lines, data[start:]


def _marked(rank: int, lines: list[bytes]) -> bytes:
    return b"".join(b"[rank %d] %b\n" % (rank, line) for line in lines)
