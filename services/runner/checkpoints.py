"""The step's checkpoint directory: kept as versions while the program runs, so that a later attempt can go on from one.

A version is made when nothing in the directory has changed for a while, since nobody but the program knows when it is
whole. What changes while it is uploaded makes it no version; the one before it stays the newest.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from services.core.errors import CohortError
from services.core.faults import reach
from services.core.manifest import CHECKPOINT_LIMITS, KeptFile, Version
from services.runner.outputs import Read, problem, send, walk
from services.runner.ship import AttemptClient, Fenced, Halt, Stopped, Unwanted
from services.runner.spool import ExitReason, ExitRecord

log = structlog.get_logger()

LOOK_SECONDS = 1.0
QUIET_SECONDS = 3.0
_ASKED = frozenset({ExitReason.CANCELLED, ExitReason.DEADLINE})
_JOIN_SECONDS = 0.25
# From here on an exit code is 128 and the number of a signal.
_KILLED = 129

Warn = Callable[[str, str], None]


@dataclass(frozen=True)
class Stamp:
    """What changes with a file's content. Times are nanoseconds since the epoch."""

    size: int
    changed_ns: int
    inode: int
    mode: int


Seen = Mapping[str, Stamp]


def is_whole(record: ExitRecord, changed: float, quiet_seconds: float) -> bool:
    """Whether a program that ended so left its last checkpoint whole; `changed` is when it last touched it.

    One that left by itself, done or asked to go, had its last word. Of one that crashed or was killed only what it had
    left alone for a while is believed. A shell passes on the end of a program that was killed as a code of its own.
    """
    was_asked = record.terminated or record.reason in _ASKED
    left = record.signal is None and record.exit_code is not None and record.exit_code < _KILLED
    if left and (record.exit_code == 0 or was_asked):
        return True
    return changed <= record.finished - quiet_seconds


def scan(directory: Path) -> tuple[Seen, list[str]]:
    """The files of the directory, and in words what of it cannot be kept. Links are not followed."""
    seen: dict[str, Stamp] = {}
    skipped = []
    for path, status in walk(directory):
        why = problem(path, status)
        if why is None and isinstance(status, os.stat_result):
            seen[path] = Stamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode & 0o777)
        else:
            skipped.append(f"{os.fsencode(path).decode(errors='backslashreplace')}: {why}")
    return seen, skipped


class Keeper:
    """Looks at the directory on its `thread`, until `finish` is called or the halt says stop."""

    def __init__(
        self, directory: Path, client: AttemptClient, halt: Halt, warn: Warn, quiet_seconds: float = QUIET_SECONDS
    ) -> None:
        self._directory = directory
        self._client = client
        self._halt = halt
        self._warn = warn
        self._quiet_seconds = quiet_seconds
        self._seen: Seen = {}
        self._seen_at = time.monotonic()
        self._saved: Seen = {}
        self._newest: Version | None = None
        self._digests: dict[tuple[str, Stamp], KeptFile] = {}
        self._warned: set[str] = set()
        self._given_up = False
        self._over = threading.Event()
        self.thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def finish(self, record: ExitRecord) -> None:
        """The program is over: keep what it left, if that is whole. Raises `Fenced`, `Stopped`."""
        self._over.set()
        while self.thread.is_alive():
            self.thread.join(_JOIN_SECONDS)
            self._halt.check()
        seen = self._look()
        changed = max((stamp.changed_ns for stamp in seen.values()), default=0) / 1e9
        if seen and seen != self._saved and is_whole(record, changed, self._quiet_seconds):
            self._try(seen)

    def _run(self) -> None:
        try:
            while not self._over.wait(LOOK_SECONDS):
                self._halt.check()
                seen, now = self._look(), time.monotonic()
                if seen != self._seen:
                    self._seen, self._seen_at = seen, now
                elif seen and seen != self._saved and now - self._seen_at >= self._quiet_seconds:
                    self._try(seen)
        except (Fenced, Stopped):
            log.debug("checkpoints_stopped")

    def _look(self) -> Seen:
        seen, skipped = scan(self._directory)
        for text in skipped:
            if text not in self._warned and len(self._warned) < 50:
                self._warned.add(text)
                self._warn("checkpoint_skipped", text)
        return seen

    def _try(self, seen: Seen) -> None:
        """Keep what was seen as a version. A refusal is told once; the log and the outputs are worth more."""
        if self._given_up:
            return
        try:
            self._save(seen)
        except (Fenced, Stopped):
            raise
        except Unwanted as error:
            self._saved = seen
            self._warn("checkpoint_not_kept", str(error))
        except CohortError as error:
            log.error("checkpoints_given_up", why=str(error))
            self._given_up = True
            self._warn("checkpoint_not_kept", str(error))

    def _save(self, seen: Seen) -> None:
        if len(seen) > CHECKPOINT_LIMITS.files:
            raise Unwanted(f"the checkpoint has {len(seen)} files; at most {CHECKPOINT_LIMITS.files} are kept")
        before = self._newest or self._client.newest_version()
        self._newest = before
        try:
            files = tuple(self._file(path, stamp, before) for path, stamp in sorted(seen.items()))
        except OSError as error:
            log.info("checkpoint_changed", why=str(error))
            return
        if scan(self._directory)[0] != seen:
            log.info("checkpoint_changed")
            return
        self._digests = {(file.path, seen[file.path]): file for file in files}
        if _content(files) != _content(before.files):
            version = Version(number=before.number + 1, files=files)
            self._client.put_version(version)
            self._newest = version
            reach("runner.checkpoint_kept")
            log.info("checkpoint_kept", number=version.number, files=len(files))
        self._saved = seen

    def _file(self, path: str, stamp: Stamp, before: Version) -> KeptFile:
        """The file as a part of a version, uploaded if the API may not have it. Raises OSError where it changed."""
        known = self._digests.get((path, stamp))
        if known is None:
            there = {(file.sha256, file.size): file.receipt for file in before.files}
            known = send(self._directory, path, partial(self._put, path, stamp, there))
            # Also what a version that came to nothing has uploaded need not be uploaded again.
            self._digests[(path, stamp)] = known
        return known

    def _put(
        self, path: str, stamp: Stamp, there: Mapping[tuple[str, int], str], sha256: str, size: int, read: Read
    ) -> KeptFile:
        word = there.get((sha256, size))
        if word is None:
            word = self._client.put_object(sha256, size, read)
        return KeptFile(path=path, sha256=sha256, size=size, mode=stamp.mode, receipt=word)


def _content(files: tuple[KeptFile, ...]) -> set[tuple[str, str, bool]]:
    """What makes one version another: of the mode a snapshot knows only whether the file can be executed."""
    return {(file.path, file.sha256, bool(file.mode & 0o100)) for file in files}
