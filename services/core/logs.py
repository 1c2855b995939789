"""The logs of attempts: every byte the program wrote, once, in order.

The newest bytes are the *tail*, a string in Redis; what is older lies in immutable *segments* in the artifact store,
indexed in Redis. A segment is stored before the index knows it, so a crash in between costs a stray object and no
byte. The place of every write is its byte offset, so whoever sends something twice is told where to go on.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import google_crc32c

from services.core import faults
from services.core.artifacts import ArtifactNotFound
from services.core.attempts import AttemptOver
from services.core.errors import CohortError, Stale
from services.core.history import History
from services.core.keys import Keys, run_channel, run_of_attempt, split_rank, step_of_attempt
from services.core.redis import Client, answered, run_script

# A write of this size is worth an object of its own; smaller ones are collected in Redis first.
SEGMENT_BYTES = 64 * 1024
MAX_TAIL_BYTES = 256 * 1024
PART_BYTES = 32 * 1024 * 1024
MAX_TURNS = 100_000
_CHUNK_BYTES = 1024 * 1024
_READ_TRIES = 3


class NamedObjects(Protocol):
    """The part of the artifact store that logs need."""

    def put_named(self, key: str, data: bytes) -> None: ...
    def open_named(self, key: str) -> BinaryIO: ...
    def delete_named(self, key: str) -> None: ...
    def list_named(self, prefix: str = "") -> list[str]: ...


class WrongOffset(CohortError):
    """The bytes do not begin where the log ends. Go on from `expected`, which may be before or behind."""

    def __init__(self, offset: int, expected: int) -> None:
        super().__init__(f"the log is {expected} bytes long, so the next ones belong there, not at {offset}")
        self.expected = expected


@dataclass(frozen=True)
class Segment:
    """A stored piece of a log. Its checksum keeps a late writer of other bytes from replacing one that is in use."""

    offset: int
    length: int
    crc32c: str

    @classmethod
    def of(cls, offset: int, data: bytes) -> "Segment":
        return cls(offset, len(data), f"{google_crc32c.value(data):08x}")

    @classmethod
    def parse(cls, name: str) -> "Segment":
        offset, length, crc32c = name.split("-")
        return cls(int(offset), int(length), crc32c)

    @property
    def name(self) -> str:
        return f"{self.offset:015d}-{self.length}-{self.crc32c}"


@dataclass(frozen=True)
class Layout:
    """Where the bytes of a log lie: its segments, in order, and the tail behind them."""

    size: int
    segments: tuple[Segment, ...]
    tail_bytes: int


@dataclass(frozen=True)
class _Window:
    """A part of a log at one moment: its segments, in order, and what of the tail belongs to it."""

    size: int
    is_open: bool
    segments: tuple[Segment, ...]
    tail: bytes


class LogStore:
    """The logs of one install. Safe to share between threads and processes."""

    def __init__(self, client: Client, keys: Keys, objects: NamedObjects, history: History | None = None) -> None:
        """With a `history`, logs of runs that have left Redis are read too."""
        self._client = client
        self._keys = keys
        self._objects = objects
        self._history = history

    # --- Writing --------------------------------------------------------------------------------------------------

    def append(self, attempt: str, offset: int, data: bytes) -> int:
        """Add `data` at `offset`, which must be the log's size. Returns the new size.

        Raises `WrongOffset`, `AttemptOver` (also once the attempt has reported its end), `ArtifactStoreUnavailable`.
        """
        if len(data) >= SEGMENT_BYTES:
            return self._append_segment(attempt, offset, data)
        args = [attempt, offset, data, MAX_TAIL_BYTES, run_channel(run_of_attempt(attempt)), *self._turn(attempt)]
        keys = [*self._names(attempt)[:3], self._order(attempt)]
        verdict, *value = run_script(self._client, "log_append", keys, args)
        if verdict == b"full":
            return self._append_segment(attempt, offset, data)
        return _size(attempt, offset, verdict, value)

    def reset(self, attempt: str) -> bool:
        """Forget the log so that the runner can send it anew; False if that has been done before.

        For the case that what is stored is not what was sent, which only a damaged store can cause. Once, so that a
        runner whose own digest is wrong is not kept sending for ever.
        """
        return bool(run_script(self._client, "log_reset", self._names(attempt), [attempt]))

    def compact(self, attempt: str) -> None:
        """Bring a closed log into few large segments and delete what isn't its own. An open one is left as it is.

        Holds `PART_BYTES` in memory. Safe to repeat, and to kill at any point. Raises `Stale` if another was faster.
        """
        window = self._window(attempt, 0, 2**53)
        if window.is_open or not window.size:
            return
        parts = window.segments
        if window.tail or any(before.length < PART_BYTES for before in parts[:-1]):
            parts = tuple(self._store_parts(attempt, window.size))
            self._replace(attempt, window, parts)
        wanted = {object_of(attempt, part) for part in parts}
        for key in self._objects.list_named(_prefix(attempt)):
            if key not in wanted:
                self._objects.delete_named(key)

    def _append_segment(self, attempt: str, offset: int, data: bytes) -> int:
        window = self._window(attempt, max(0, offset - MAX_TAIL_BYTES), MAX_TAIL_BYTES)
        if not window.is_open:
            raise AttemptOver(f"attempt {attempt} is over, or never was")
        if window.size != offset:
            raise WrongOffset(offset, window.size)
        whole = window.tail + data
        segment = Segment.of(offset - len(window.tail), whole)
        self._objects.put_named(object_of(attempt, segment), whole)
        faults.reach("api.segment_written")
        channel = run_channel(run_of_attempt(attempt))
        args = [attempt, offset, len(window.tail), len(data), segment.name, segment.offset, channel]
        keys = [*self._names(attempt), self._order(attempt)]
        verdict, *value = run_script(self._client, "log_seal", keys, [*args, *self._turn(attempt)])
        return _size(attempt, offset, verdict, value)

    def _store_parts(self, attempt: str, size: int) -> Iterator[Segment]:
        for offset in range(0, size, PART_BYTES):
            data = self.read(attempt, offset, PART_BYTES)
            part = Segment.of(offset, data)
            self._objects.put_named(object_of(attempt, part), data)
            yield part

    def _replace(self, attempt: str, window: _Window, parts: tuple[Segment, ...]) -> None:
        args: list[str | int] = [window.size, len(window.segments), *(segment.name for segment in window.segments)]
        args.append(len(parts))
        for part in parts:
            args += [part.offset, part.name]
        if not run_script(self._client, "log_replace", self._names(attempt)[1:], args):
            raise Stale(f"the log of {attempt} changed while it was compacted")

    # --- Reading --------------------------------------------------------------------------------------------------

    def size(self, attempt: str) -> int:
        """How many bytes the log has now; 0 where there is none."""
        return self._window(attempt, 0, 0).size

    def layout(self, attempt: str) -> Layout:
        """Where the bytes of the log lie at this moment."""
        window = self._window(attempt, 0, 2**53)
        return Layout(window.size, window.segments, len(window.tail))

    def read(self, attempt: str, offset: int, limit: int) -> bytes:
        """The bytes from `offset` (0 or more) on, `limit` at most; fewer only at the log's end."""
        for _ in range(_READ_TRIES - 1):
            try:
                return self._read(attempt, offset, limit)
            except ArtifactNotFound:
                # The log was compacted between the look at its index and the reading.
                continue
        return self._read(attempt, offset, limit)

    def stream(self, attempt: str, offset: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The log from `offset` to `end`, or to where it ends now, in pieces."""
        stop = self.size(attempt) if end is None else end
        while offset < stop:
            data = self.read(attempt, offset, min(_CHUNK_BYTES, stop - offset))
            if not data:
                return
            yield data
            offset += len(data)

    @answered
    def turns(self, attempt: str, start: int, limit: int) -> list[tuple[int, int]]:
        """Of an attempt on several nodes: which rank's log grew to how many bytes, in turn, from position `start` on.

        The last one may still grow. Beyond `MAX_TURNS` nothing is noted.
        """
        rows = [row.decode() for row in self._client.lrange(self._order(attempt), start, start + limit - 1)]
        if not rows and self._history is not None:
            rows = list(self._history.attempt(attempt).order[start : start + limit])
        pairs = (row.split(":") for row in rows)
        return [(int(rank), int(size)) for rank, size in pairs]

    def verify(self, attempt: str, sha256: str, size: int) -> bool:
        """Whether the log is what the runner sent: of this size and with this digest. Reads all of it."""
        if self.size(attempt) != size:
            return False
        digest = hashlib.sha256()
        for data in self.stream(attempt):
            digest.update(data)
        return digest.hexdigest() == sha256

    def _read(self, attempt: str, offset: int, limit: int) -> bytes:
        window = self._window(attempt, offset, limit)
        pieces = [self._read_segment(attempt, segment, offset, limit) for segment in window.segments]
        return b"".join([*pieces, window.tail])

    def _read_segment(self, attempt: str, segment: Segment, offset: int, limit: int) -> bytes:
        start = max(0, offset - segment.offset)
        stop = min(segment.length, offset + limit - segment.offset)
        if start >= stop:
            return b""
        with self._objects.open_named(object_of(attempt, segment)) as file:
            file.seek(start)
            return _exactly(file.read, stop - start)

    def _window(self, attempt: str, offset: int, limit: int) -> _Window:
        answer = run_script(self._client, "log_window", self._names(attempt), [attempt, offset, limit])
        size, is_open, names, tail = answer
        if not size and not is_open and self._history is not None:
            return _past(self._history.attempt(attempt).segments, offset, limit)
        return _Window(size, bool(is_open), tuple(Segment.parse(name.decode()) for name in names), tail)

    def _order(self, attempt: str) -> str:
        return self._keys.attempt(split_rank(attempt)[0], "order")

    def _turn(self, attempt: str) -> list[str | int]:
        """What the scripts need to note the order in which the ranks of an attempt wrote."""
        return [*split_rank(attempt), MAX_TURNS]

    def _names(self, attempt: str) -> list[str]:
        live = self._keys.attempts(self._keys.tag(run_of_attempt(attempt)))
        return [live, *(self._keys.attempt(attempt, part) for part in ("", "tail", "segments"))]


def _past(names: Sequence[str], offset: int, limit: int) -> _Window:
    """The same of a log that is archived: it has no tail."""
    segments = [Segment.parse(name) for name in names]
    end = max((segment.offset + segment.length for segment in segments), default=0)
    stop = min(end, offset + limit)
    wanted = [one for one in segments if one.offset < stop and one.offset + one.length > offset]
    return _Window(end, False, tuple(wanted), b"")


def _size(attempt: str, offset: int, verdict: bytes, value: list[int]) -> int:
    if verdict == b"over":
        raise AttemptOver(f"attempt {attempt} is over, or never was")
    if verdict == b"offset":
        raise WrongOffset(offset, value[0])
    return value[0]


def _prefix(attempt: str) -> str:
    run, step, number = run_of_attempt(attempt), step_of_attempt(attempt), attempt.rpartition("-")[2]
    return f"logs/{run}/{step}/{number}/"


def object_of(attempt: str, segment: Segment) -> str:
    """The named object that holds a segment."""
    return _prefix(attempt) + segment.name


def _exactly(read: Callable[[int], bytes], length: int) -> bytes:
    """Some storages' files give less than asked for at a time."""
    pieces: list[bytes] = []
    while length > 0:
        piece = read(length)
        if not piece:
            break
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)
