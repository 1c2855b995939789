"""Python tracebacks in a stream of lines: which ranks failed with what, first and last, with the causes.

Knows the format of `traceback.print_exception`, chained and grouped, alone on the stream or behind a prefix that a
launcher puts before each line of a rank (`[rank1]: `), in which case several may be open at once.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

HEADER = "Traceback (most recent call last)"
_CHAIN = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
_FRAME = '  File "'
_RANK = re.compile(r"(?:rank|default|local_rank)[\s=:]?(\d{1,6})", re.IGNORECASE)
_TIMESTAMP = re.compile(r"\d\d:\d\d:\d\d")
# But for those of a rank, which tell writers apart.
_DIGIT = re.compile(r"(?<!rank)(?<!default)\d")
_LIBRARY = re.compile(r"site-packages|dist-packages|/lib/python\d|<frozen |/importlib/|multiprocessing/")
_LAST_FRAMES = 8
_OWN_FRAMES = 3
_FRAME_LINES = 6
_MESSAGE_LINES = 12
_MAX_PARTS = 12
_MAX_OPEN = 16
_MAX_RANKS = 16
# Lines of others that may stand between two lines of one traceback.
_MAX_FOREIGN = 300
_MAX_LINE = 1_000


@dataclass(frozen=True)
class Frame:
    """One stack frame as printed, with its position from the outermost."""

    position: int
    lines: tuple[str, ...]

    @property
    def is_library(self) -> bool:
        """Whether it is in an installed package or the standard library, not in the program's own files."""
        return _LIBRARY.search(self.lines[0]) is not None


@dataclass(frozen=True)
class Place:
    """Where a line begins in the log: its byte offset, and its number, counted from 1 by newlines."""

    offset: int
    line: int


@dataclass(frozen=True)
class Part:
    """One exception of a chain: the frames kept of `frame_count`, its message, and what joins it to the part before.

    `outermost` is the first line of the first frame. `place` is where the message begins.
    """

    frames: tuple[Frame, ...]
    frame_count: int
    message: tuple[str, ...]
    joined_by: str
    outermost: str = ""
    place: Place = Place(0, 1)


@dataclass(frozen=True)
class Chain:
    """An exception with its causes, the root cause first, and where its first line begins in the log.

    `prefix` is what a launcher or logger put before each of its lines.
    """

    rank: int | None
    offset: int
    parts: tuple[Part, ...]
    parts_left_out: int
    prefix: str = ""


class _State(Enum):
    FRAMES = "frames"
    MESSAGE = "message"
    GAP = "gap"
    JOINED = "joined"


@dataclass
class _Draft:
    """A part while it is read. Keeps the last frames, and the last ones in the user's own files."""

    joined_by: str = ""
    count: int = 0
    frames: deque[Frame] = field(default_factory=lambda: deque(maxlen=_LAST_FRAMES))
    own: deque[Frame] = field(default_factory=lambda: deque(maxlen=_OWN_FRAMES))
    lines: list[str] = field(default_factory=list)
    message: list[str] = field(default_factory=list)
    place: Place = Place(0, 1)
    outermost: str = ""

    def add(self, line: str) -> None:
        if line.startswith(_FRAME):
            self._end_frame()
        if len(self.lines) < _FRAME_LINES:
            self.lines.append(line[:_MAX_LINE])

    def _end_frame(self) -> None:
        if self.lines:
            frame = Frame(self.count, tuple(self.lines))
            self.outermost = self.outermost or self.lines[0]
            self.count += 1
            self.lines = []
            self.frames.append(frame)
            if not frame.is_library:
                self.own.append(frame)

    def finish(self) -> Part:
        self._end_frame()
        kept = {frame.position: frame for frame in (*self.own, *self.frames)}
        frames = tuple(kept[at] for at in sorted(kept))
        return Part(frames, self.count, tuple(self.message), self.joined_by, self.outermost, self.place)


@dataclass
class _Open:
    """A traceback while it is read."""

    prefix: str
    rank: int | None
    offset: int
    state: _State = _State.FRAMES
    parts: list[Part] = field(default_factory=list)
    left_out: int = 0
    draft: _Draft = field(default_factory=_Draft)
    foreign: int = 0
    timed: str = ""

    def __post_init__(self) -> None:
        # A prefix that tells the time is another one on each line.
        if _TIMESTAMP.search(self.prefix):
            self.timed = _DIGIT.sub("0", self.prefix)

    def body(self, line: str) -> str | None:
        """The line without the prefix, None if it is another writer's."""
        if line.startswith(self.prefix):
            return line[len(self.prefix) :]
        if line == self.prefix.rstrip():
            return ""
        if self.timed and _DIGIT.sub("0", line[: len(self.prefix)]) == self.timed:
            return line[len(self.prefix) :]
        if line.startswith(_FRAME) and self.draft.count == 0 and not self.draft.lines and not self.parts:
            # What stood before the header was no prefix but an unfinished line, such as a progress bar.
            self.prefix = ""
            return line
        return None

    def take(self, body: str, place: Place) -> bool:
        """Whether the line belongs to the traceback; if not, the traceback is over."""
        match self.state:
            case _State.FRAMES:
                return self._take_frame(body, place)
            case _State.MESSAGE if body[:1] in (" ", "\t"):
                if len(self.draft.message) < _MESSAGE_LINES:
                    self.draft.message.append(body[:_MAX_LINE])
                return True
            case _State.JOINED if HEADER in body:
                self._end_part()
                self.state = _State.FRAMES
                return True
        if not body.strip():
            self.state = _State.GAP if self.state is _State.MESSAGE else self.state
            return True
        if body.strip() in _CHAIN and self.state is not _State.JOINED:
            self._end_part()
            self.draft.joined_by = body.strip()
            self.state = _State.JOINED
            return True
        return False

    def _take_frame(self, body: str, place: Place) -> bool:
        if HEADER in body:
            return False
        if not body.strip() or body[:1] in (" ", "\t"):
            self.draft.add(body)
            return True
        self.draft.message.append(body[:_MAX_LINE])
        self.draft.place = place
        self.state = _State.MESSAGE
        return True

    def _end_part(self) -> None:
        joined_by = self.draft.joined_by
        if self.draft.message or self.draft.count or self.draft.lines:
            self.parts.append(self.draft.finish())
            if len(self.parts) > _MAX_PARTS:
                # The root cause and the outermost exceptions say most.
                del self.parts[1]
                self.left_out += 1
            joined_by = ""
        self.draft = _Draft(joined_by)

    def finish(self) -> Chain:
        self._end_part()
        return Chain(self.rank, self.offset, tuple(self.parts), self.left_out, self.prefix)


class Tracer:
    """Reads lines, remembers the first chain of each rank and the last chain of all, in bounded memory.

    `closed` is called with each chain when its last line has been read.
    """

    def __init__(self, closed: Callable[[Chain], None] = lambda _: None) -> None:
        self._closed = closed
        self.first: dict[int | None, Chain] = {}
        self.last: Chain | None = None
        self.count = 0
        self.opened = 0
        self._open: list[_Open] = []

    @property
    def is_open(self) -> bool:
        """Whether the next line may belong to a traceback, so that no line may be skipped."""
        return bool(self._open)

    def read(self, line: str, offset: int, number: int = 1) -> bool:
        """Whether this line belongs to a traceback. It begins at `offset` and is the `number`th of the log."""
        place = Place(offset, number)
        for traceback in reversed(self._open):
            body = traceback.body(line)
            if body is None:
                traceback.foreign += 1
                if traceback.foreign > _MAX_FOREIGN:
                    self._close(traceback)
            elif traceback.take(body, place):
                traceback.foreign = 0
                return True
            else:
                self._close(traceback)
        return self._begin(line, place)

    def finish(self) -> None:
        """The log is over: what is still open is as complete as it gets."""
        for traceback in list(self._open):
            self._close(traceback)

    def chains(self) -> Iterator[Chain]:
        """What to tell: the first of each rank in the order of the log, then the last of all if it is another."""
        firsts = sorted(self.first.values(), key=lambda chain: chain.offset)
        yield from firsts
        if self.last is not None and self.last not in firsts:
            yield self.last

    def _begin(self, line: str, place: Place) -> bool:
        start = line.find(HEADER)
        # A script that does not compile has frames but no header.
        if start < 0 and not line.startswith(_FRAME):
            return False
        prefix = line[:start] if start > 0 else ""
        rank = _RANK.search(prefix)
        traceback = _Open(prefix, int(rank[1]) if rank else None, place.offset)
        if start < 0:
            traceback.take(line, place)
        self._open.append(traceback)
        self.opened += 1
        if len(self._open) > _MAX_OPEN:
            self._close(self._open[0])
        return True

    def _close(self, traceback: _Open) -> None:
        self._open.remove(traceback)
        chain = traceback.finish()
        if not any(part.message for part in chain.parts):
            return  # A stack that was only shown, such as a warning's.
        self.count += 1
        if chain.rank not in self.first and len(self.first) < _MAX_RANKS:
            self.first[chain.rank] = chain
        self.last = chain
        self._closed(chain)
