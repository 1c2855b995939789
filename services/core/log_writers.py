"""Who wrote what last: the last lines of each rank whose output is mixed into one log, in bounded memory."""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# What launchers put before a rank's lines: torchrun, Lightning, mpirun, Ray, pdsh.
_PREFIX = re.compile(
    rb"\s{0,4}(?:\[(?:rank|default|local_rank)[\s:=]{0,2}(\d{1,6})\]|\[\d{1,6},(\d{1,6})\]<std|\(\w{1,60} pid=(\d{1,9})"
    rb"|(?:rank|node|worker)[-_ ]?(\d{1,6}):)",
    re.IGNORECASE,
)
_MARKS = (b"rank", b"RANK", b"Rank", b"[default", b"]<std", b" pid=", b"node", b"worker")
_MAX_WRITERS = 64
_KEPT_LINES = 6
_MAX_LINE_BYTES = 2_000
_BAR = b"%|"


@dataclass(frozen=True)
class Raw:
    """A line as it came: where it begins, its number by newlines, and its first bytes."""

    offset: int
    number: int
    data: bytes


class Writers:
    """The last lines of each writer. A writer is the rank in a line's prefix, or '' for lines without one."""

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}
        self._last: dict[bytes, deque[Raw]] = {}

    def add(self, writer: bytes, line: Raw) -> None:
        """Take one line into account; of a bar that rewrites itself only the last state is kept."""
        if not line.data or line.data.isspace():
            return
        kept = self._last.get(writer)
        if kept is None:
            if len(self._last) >= _MAX_WRITERS:
                return
            kept = self._last[writer] = deque(maxlen=_KEPT_LINES)
        self.counts[writer] = self.counts.get(writer, 0) + 1
        if _BAR in line.data and kept and _BAR in kept[-1].data:
            kept.pop()
        kept.append(line)

    def add_all(self, lines: Sequence[bytes], offset: int, number: int, raw: bytes) -> None:
        """Take the lines of a block into account in which nothing else is of interest."""
        if any(mark in raw for mark in _MARKS):
            for line, place in _placed(lines, offset, number, raw):
                self.add(writer_of(line), Raw(*place, line[:_MAX_LINE_BYTES]))
            return
        few = _KEPT_LINES * 4
        if len(lines) > few:
            skipped = sum(map(len, lines[:-few])) + len(lines) - few
            self.counts[b""] = self.counts.get(b"", 0) + len(lines) - few
            number += raw.count(b"\n", 0, skipped)
            lines, offset, raw = lines[-few:], offset + skipped, raw[skipped:]
        for line, place in _placed(lines, offset, number, raw):
            self.add(b"", Raw(*place, line[:_MAX_LINE_BYTES]))

    def last_of(self, writer: bytes) -> tuple[Raw, ...]:
        """The last lines of one writer, oldest first."""
        return tuple(self._last.get(writer, ()))

    def last_of_others(self, writer: bytes) -> tuple[Raw, ...]:
        """The very last line of every other writer, in the order of the log."""
        found = [kept[-1] for name, kept in self._last.items() if name != writer and kept]
        return tuple(sorted(found, key=lambda line: line.offset))

    @property
    def names(self) -> tuple[bytes, ...]:
        """Everybody who wrote, the one without a name first."""
        return tuple(sorted(self._last, key=lambda name: (len(name), name)))


def writer_of(line: bytes) -> bytes:
    """The rank in the line's prefix, b'' if there is none."""
    found = _PREFIX.match(line)
    return b"" if found is None else next(group for group in found.groups() if group is not None)


def _placed(lines: Iterable[bytes], offset: int, number: int, raw: bytes) -> Iterable[tuple[bytes, tuple[int, int]]]:
    position = 0
    for line in lines:
        yield line, (offset + position, number)
        position += len(line) + 1
        number += raw[position - 1 : position] == b"\n"
