"""Following the spool: which bytes are there, when to ship them, their digest, and whether the program is over.

Everything is addressed by byte offset in the log, so nothing here needs to be remembered across a restart.
"""

import errno
import hashlib
import os
import time
from collections import deque
from pathlib import Path

from services.core.observations import Gap
from services.runner.processes import end_survivors
from services.runner.shim import UNTRUSTED
from services.runner.spool import ExitReason, ExitRecord, Spool, is_held

FLUSH_BYTES = 64 * 1024
FLUSH_SECONDS = 0.2
CHUNK_BYTES = 1 << 20
_LOCK_SECONDS = 1.0


def is_due(pending_bytes: int, age_seconds: float, is_over: bool) -> bool:
    """Whether bytes not yet shipped should go now: enough of them, old enough, or no more to come."""
    return pending_bytes > 0 and (pending_bytes >= FLUSH_BYTES or age_seconds >= FLUSH_SECONDS or is_over)


class LogFile:
    """The log as the shim writes it. Empty until the shim has made it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def size(self) -> int:
        descriptor = self._open()
        return 0 if descriptor is None else os.fstat(descriptor).st_size

    def read(self, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes from `offset`; fewer, or none, where the log ends."""
        descriptor = self._open()
        return b"" if descriptor is None else os.pread(descriptor, limit, offset)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int | None:
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | UNTRUSTED)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                # The program put a link in the log's place; what that leads to is none of it.
                return None
        return self._descriptor


class Ages:
    """How old the log's bytes are, as far as that follows from when somebody looked at its size."""

    def __init__(self, now: float) -> None:
        self._looked = now
        self._marks: deque[tuple[int, float]] = deque()

    def look(self, size: int, now: float) -> None:
        """The log is so long now; what it has grown by since the last look was written after that."""
        if size > (self._marks[-1][0] if self._marks else 0):
            self._marks.append((size, self._looked))
        self._looked = now

    def of(self, offset: int, now: float) -> float:
        """How many seconds ago the byte at `offset` was written, at most; 0 where there is none. No earlier byte will
        be asked for again."""
        while len(self._marks) > 1 and self._marks[0][0] <= offset:
            self._marks.popleft()
        size, written = self._marks[0] if self._marks else (0, now)
        return now - written if offset < size else 0.0


class Digest:
    """SHA-256 of the log from its start, fed by whoever reads along and caught up from the file where nobody did."""

    def __init__(self, log: LogFile) -> None:
        self._log = log
        self._sha256 = hashlib.sha256()
        self._position = 0

    def feed(self, offset: int, data: bytes) -> None:
        """Take what was read at `offset`. What is known already is skipped, what lies between is read."""
        self._catch_up(offset)
        known = self._position - offset
        if known < len(data):
            self._sha256.update(memoryview(data)[known:])
            self._position = offset + len(data)

    def hexdigest(self, size: int) -> str:
        """Of the first `size` bytes, which must be all that were fed or more."""
        self._catch_up(size)
        return self._sha256.hexdigest()

    def _catch_up(self, offset: int) -> None:
        while self._position < offset:
            data = self._log.read(self._position, min(CHUNK_BYTES, offset - self._position))
            if not data:
                return
            self._sha256.update(data)
            self._position += len(data)


class Ending:
    """Whether the program is over: by `exit.json`, or because its shim is gone without one."""

    def __init__(self, spool: Spool, output_directory: Path) -> None:
        self._spool = spool
        self._output_directory = output_directory
        self._probe_at = 0.0
        self._found: ExitRecord | None = None

    def look(self) -> ExitRecord | None:
        """How it ended; None while it has not. Once this answers, the log grows no more and nothing of it runs."""
        if self._found is None:
            self._found = _reported(self._spool) or self._lost()
        return self._found

    def _lost(self) -> ExitRecord | None:
        now = time.monotonic()
        if now < self._probe_at:
            return None
        self._probe_at = now + _LOCK_SECONDS
        return lost(self._spool, self._output_directory)


def _reported(spool: Spool) -> ExitRecord | None:
    """What the shim reported and left; a report beside a living shim is not its own."""
    record = spool.exit()
    return record if record is not None and not is_held(spool.shim_lock) else None


def lost(spool: Spool, output_directory: Path) -> ExitRecord | None:
    """The record of a program whose shim died after it had started it; None if that is not so.

    What the shim left running is ended first: "lost" means that nothing of the attempt is alive.
    """
    shim = spool.shim()
    if shim is None or shim.pgid is None or is_held(spool.shim_lock):
        return None
    reported = spool.exit()
    if reported is not None:
        return reported
    if not end_survivors(shim, output_directory):
        return None
    started = shim.started or 0.0
    return ExitRecord(
        exit_code=None,
        signal=None,
        reason=ExitReason.SHIM_LOST,
        started=started,
        finished=max(started, spool.last_sign_of_life()),
        bytes=spool.log.stat().st_size if spool.log.exists() else 0,
    )


def with_missing_tail(record: ExitRecord, size: int) -> ExitRecord:
    """The record of a log that has only `size` bytes; after a power cut one file may be there, the other not."""
    if size >= record.bytes:
        return record.model_copy(update={"bytes": size})
    gap = Gap(offset=size, bytes=record.bytes - size)
    return record.model_copy(update={"bytes": size, "gaps": (*record.gaps, gap)})
