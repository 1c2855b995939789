"""The spool directory: the files through which the shim, the sidecar and a local executor know of one another.

Each file has one writer. Every JSON file is replaced in one move, so a reader sees a whole one or none. What is
damaged (the user's program can reach the directory) counts as absent.
"""

import fcntl
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from services.core.observations import Gap
from services.core.record import Record
from services.runner.shim import UNTRUSTED, hold, read_json, write_json


class ExitReason(StrEnum):
    """Why the program is over."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    SHIM_LOST = "shim_lost"
    NOT_CLAIMED = "not_claimed"
    START_FAILED = "start_failed"


class ExitRecord(Record):
    """How the program ended. `exit_code` is as a shell says it (128 + signal), None if that will never be known or
    the program was never started. Times are seconds since the epoch; `bytes` is the size of the log. `terminated`: the
    shim was told to end while the program ran, by whoever rules the machine or the container. `stdout_left_out_bytes`:
    how much of the log is missing in the copy on the shim's stdout."""

    exit_code: int | None
    signal: int | None
    reason: ExitReason
    terminated: bool = False
    started: float
    finished: float
    bytes: int
    gaps: tuple[Gap, ...] = ()
    peaks: Mapping[str, int] = Field(default_factory=dict)
    stdout_left_out_bytes: int = 0


class ShimRecord(Record):
    """Who runs the program. Process ids mean something on this boot and in this pid namespace only.

    `pgid` is the program's process group and session, None until it is about to be started.
    """

    pid: int
    start_ticks: int
    boot_id: str
    pid_namespace: str
    pgid: int | None = None
    pgid_start_ticks: int | None = None
    started: float | None = None


class Usage(Record):
    """What the program's processes use: resident bytes now, CPU seconds since the start."""

    time: float
    rss_bytes: int
    cpu_seconds: float
    processes: int


class Cursor(Record):
    """How far the sidecar came: bytes of the log and metrics that the API has. Only a hint where to begin again."""

    offset: int = 0
    metrics: int = 0


class Settlement(StrEnum):
    """How the sidecar's work ended; after it, nobody need tend the attempt."""

    FINISHED = "finished"
    FENCED = "fenced"
    CLAIM_TAKEN = "claim_taken"


R = TypeVar("R", bound=Record)


class Spool:
    """One attempt's spool directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.shim_lock = directory / "shim.lock"
        self.sidecar_lock = directory / "sidecar.lock"

    def exit(self) -> ExitRecord | None:
        """What the shim reported; None while it has not."""
        return self._read("exit.json", ExitRecord)

    def shim(self) -> ShimRecord | None:
        """Who runs the program; None before any shim came."""
        return self._read("shim.json", ShimRecord)

    def has_begun(self) -> bool:
        """Whether a shim is alive, started its program, or reported: there is something to bring to an end."""
        record = self.shim()
        return is_held(self.shim_lock) or (record is not None and record.pgid is not None) or self.exit() is not None

    def usage(self) -> Usage | None:
        """The shim's last sample."""
        return self._read("usage.json", Usage)

    def last_sign_of_life(self) -> float:
        """When the shim last wrote, in seconds since the epoch: the log, or the sample it takes each second."""
        files = (self.log, self.directory / "usage.json", self.directory / "shim.json")
        return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)

    def cursor(self) -> Cursor:
        """Where an earlier sidecar came to."""
        return self._read("cursor.json", Cursor) or Cursor()

    def save_cursor(self, cursor: Cursor) -> None:
        write_json(self._path("cursor.json"), cursor.model_dump(), durable=False)

    def is_claimed(self) -> bool:
        """Whether the program has, or had, leave to start."""
        return (read_json(self._path("claim.json")) or {}).get("claimed") is True

    def grant(self, pod_uid: str) -> None:
        """Give the shim leave to start the program."""
        self._write("claim.json", {"claimed": True, "pod_uid": pod_uid})

    def deny(self, why: str) -> None:
        """Tell the shim never to start the program."""
        self._write("claim.json", {"claimed": False, "why": why})

    def is_cancelled(self) -> bool:
        return self.cancelled_at() is not None

    def cancelled_at(self) -> float | None:
        """When somebody asked for the program's end, in seconds since the epoch."""
        try:
            return (self.directory / "cancel").stat().st_mtime
        except FileNotFoundError:
            return None

    def cancel(self, grace_seconds: float | None = None) -> None:
        """Have the shim end the program; with a grace period of its own if the caller names one. The first call rules.

        A full disk does not stop it: an empty file says as much.
        """
        if self.is_cancelled():
            return
        if grace_seconds is None:
            (self.directory / "cancel").touch()
            return
        try:
            self._write("cancel", {"grace_seconds": grace_seconds})
        except OSError:
            (self.directory / "cancel").touch()

    def settlement(self) -> Settlement | None:
        """How the sidecar's work ended; None while there is some."""
        outcome = (read_json(self._path("settled.json")) or {}).get("outcome")
        return Settlement(outcome) if outcome in set(Settlement) else None

    def settle(self, settlement: Settlement) -> None:
        self._write("settled.json", {"outcome": settlement.value})

    def _path(self, name: str) -> str:
        return str(self.directory / name)

    def _write(self, name: str, value: dict[str, Any]) -> None:
        write_json(self._path(name), value)

    def _read(self, name: str, kind: type[R]) -> R | None:
        value = read_json(self._path(name))
        if value is None:
            return None
        try:
            return kind.model_validate(value)
        except ValidationError:
            return None


def take(lock: Path) -> bool:
    """Hold `lock` until this process dies. False if another process has it."""
    return hold(str(lock)) is not None


def is_held(lock: Path) -> bool:
    """Whether a living process holds the lock. Works across containers that share the directory."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | UNTRUSTED)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        # Also lets go of a lock that was just taken.
        os.close(descriptor)
    return False
