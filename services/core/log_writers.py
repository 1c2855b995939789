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

    def add_all(self, lines: Sequence[bytes], offset: int, number: int, raw: bytes, raw_offset: int) -> tuple[int, int]:
        """Take lines into account in which nothing else is of interest; where the next one begins.

        They begin at `offset` of the log, with line `number`; `raw` is the block they are of, which begins at
        `raw_offset`.
        """
        begin, end = offset - raw_offset, offset - raw_offset + sum(map(len, lines)) + len(lines)
        few: Iterable[int] = range(max(0, len(lines) - _KEPT_LINES * 4), len(lines))
        if any(raw.find(mark, begin, end) >= 0 for mark in _MARKS):
            few = self._last_of_each(lines)
        elif few:
            self.counts[b""] = self.counts.get(b"", 0) + few[0]  # type: ignore[index]
        at, position, seen = 0, begin, begin
        for index in few:
            position += sum(map(len, lines[at:index])) + index - at
            at = index
            number, seen = number + raw.count(b"\n", seen, position), position
            self.add(writer_of(lines[index]), Raw(raw_offset + position, number, lines[index][:_MAX_LINE_BYTES]))
        return raw_offset + end, number + raw.count(b"\n", seen, end)

    def _last_of_each(self, lines: Sequence[bytes]) -> list[int]:
        """The last few lines of each writer; the others are only counted."""
        by_writer: dict[bytes, list[int]] = {}
        for at, line in enumerate(lines):
            by_writer.setdefault(writer_of(line), []).append(at)
        few = _KEPT_LINES * 4
        for writer, places in by_writer.items():
            if len(places) > few:
                self.counts[writer] = self.counts.get(writer, 0) + len(places) - few
        return sorted(at for places in by_writer.values() for at in places[-few:])

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
    return b"" if found is None or found.lastindex is None else found[found.lastindex]
