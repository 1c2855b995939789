"""Commands in a run's copy of its workspace, each under the runner's shim.

A command is recorded in a directory of its own before it starts, runs in its own session, and leaves its output and
exit record there. So it is started at most once, it survives the worker, and its outcome can be asked for later. The
directory is this machine's: on another one the outcome is unknown, and said to be.
"""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.core.checkout import Checkout
from services.core.errors import CohortError
from services.core.faults import reach
from services.core.records import RunState
from services.core.workspace import Workspace
from services.runner import shim
from services.runner.handing import newest
from services.runner.spool import ExitRecord, Spool, is_held
from services.worker.shells import Interrupted, Order, OutcomeUnknown, Ran, Stop

_GRACE_SECONDS = 2.0
# How long a shim may take from its start to holding its lock, before a recovering worker gives it up.
_START_SECONDS = 3.0


class NoGpus(CohortError):
    """The command asks for what there is not. It was not begun."""


@dataclass(frozen=True)
class Ended:
    """A command's exit record and output, before anyone has looked at the files."""

    record: ExitRecord
    output: bytes


@dataclass
class _Copy:
    """A run's working copy and the commands at work in it: one at a time lays it or looks for changes."""

    checkout: Checkout
    lock: threading.Lock = field(default_factory=threading.Lock)
    holders: int = 0
    at_work: int = 0


class LocalShell:
    """`Shell` on this machine, in directories under `directory`."""

    def __init__(self, directory: Path, workspace: Workspace, python: str = sys.executable) -> None:
        self._directory = directory
        self._workspace = workspace
        self._python = python
        self._copies: dict[str, _Copy] = {}
        self._copies_lock = threading.Lock()
        self._started: dict[Path, subprocess.Popen[bytes]] = {}

    def run(self, state: RunState, order: Order, stop: Stop) -> Ran:
        """See `Shell`. Raises `OutcomeUnknown` when the command's shim is killed."""
        run = state.run
        if order.gpus:
            raise NoGpus("commands run on this machine here, which has no GPUs to give; leave gpus out")
        # A worker that slept through its lease must neither lay files under its successor's commands nor start one.
        _heed(stop, run)
        with self._checkout(run, order.snapshot) as copy:
            place = self._place(run, order.call)
            place.mkdir(parents=True)
            Spool(place).grant("shell")
            reach("worker.command_placed")
            _heed(stop, run)
            process = self._start(place, copy.checkout.directory, order.command, order.timeout_seconds)
            reach("worker.command_started")
            ended = self._await(place, stop, lambda: process.poll() is None)
            self._collect(place)
            if ended is None:
                raise OutcomeUnknown(
                    "the command's shim died, so what became of the command is unknown; check its effects"
                )
            return self._with_changes(copy, ended)

    def recover(self, state: RunState, order: Order, stop: Stop) -> Ran | None:
        """See `Shell`. A worker that was only asleep finds the command's place taken, and a shim that comes too late
        finds it cancelled."""
        run = state.run
        place = self._place(run, order.call)
        if not place.exists():
            # Nor is a working copy looked at: there may be none yet, and a command beside this one has to lay it.
            place.mkdir(parents=True, exist_ok=True)
            Spool(place).cancel()
            return None
        seen = time.monotonic()

        def is_alive() -> bool:
            return is_held(Spool(place).shim_lock) or time.monotonic() < seen + _START_SECONDS

        with self._checkout(run, None) as copy:
            ended = self._await(place, stop, is_alive)
            if ended is None:
                Spool(place).cancel()
                return None
            self._collect(place)
            return self._with_changes(copy, ended)

    def runs(self) -> list[str]:
        """See `Shell`."""
        return sorted(path.name for path in self._directory.glob("*"))

    def vacate(self, state: RunState) -> bool:
        """See `Shell`: a working copy costs nothing."""
        return True

    def close(self, run: str) -> None:
        """See `Shell`."""
        commands = self._directory / run / "commands"
        places = list(commands.glob("*"))
        for place in places:
            with suppress(FileNotFoundError):
                Spool(place).cancel()
        for place in places:
            self._await(place, lambda: False, lambda place=place: _may_live(place))  # type: ignore[misc]
        for place in [place for place in self._started if place.parent == commands]:
            self._collect(place)
        shutil.rmtree(self._directory / run, ignore_errors=True)

    def _place(self, run: str, call: str) -> Path:
        return self._directory / run / "commands" / call

    @contextmanager
    def _checkout(self, run: str, snapshot: str | None) -> Iterator[_Copy]:
        """The run's working copy; laid out anew unless another command is at work in it."""
        with self._copies_lock:
            copy = self._copies.get(run)
            if copy is None:
                copy = self._copies[run] = _Copy(Checkout(self._directory / run / "checkout", self._workspace))
            copy.holders += 1
        try:
            with copy.lock:
                if snapshot is not None and not copy.at_work:
                    copy.checkout.lay(snapshot)
                copy.at_work += 1
            try:
                yield copy
            finally:
                with copy.lock:
                    copy.at_work -= 1
        finally:
            with self._copies_lock:
                copy.holders -= 1
                if not copy.holders:
                    del self._copies[run]

    @staticmethod
    def _with_changes(copy: _Copy, ended: Ended) -> Ran:
        with copy.lock:
            changes, skipped = copy.checkout.changes()
        notes = tuple(f"{one.path} ({one.reason})" for one in skipped)
        return Ran(ended.record.exit_code, ended.record.reason, ended.output, tuple(changes), notes)

    def _start(self, place: Path, cwd: Path, command: str, timeout_seconds: float) -> "subprocess.Popen[bytes]":
        argv = [self._python, "-I", "-S", shim.__file__, "--spool", str(place), "--cwd", str(cwd)]
        argv += ["--deadline-seconds", str(timeout_seconds), "--grace-seconds", str(_GRACE_SECONDS)]
        process = subprocess.Popen(
            [*argv, "--", "sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=command_env(self._python, cwd),
            start_new_session=True,
        )
        self._started[place] = process
        return process

    def _collect(self, place: Path) -> None:
        """Take leave of a shim that is over, so that it stays no zombie. Another worker's is not ours to wait for."""
        process = self._started.pop(place, None)
        if process is not None:
            process.wait()

    def _await(self, place: Path, stop: Stop, is_alive: Callable[[], bool]) -> Ended | None:
        spool, pause = Spool(place), 0.005
        while (record := spool.exit()) is None:
            if stop():
                raise Interrupted(f"the command in {place.name} is left to the run's next holder")
            if not is_alive() and spool.exit() is None:
                return None
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return Ended(record, _newest(spool.log))


def _heed(stop: Stop, run: str) -> None:
    if stop():
        raise Interrupted(f"the lease on run {run} ended before the command began")


def _may_live(place: Path) -> bool:
    """Whether a shim is at work, or was started so lately that it may not have shown itself yet."""
    claim = place / "claim.json"
    started = claim.stat().st_mtime if claim.exists() else 0.0
    return is_held(Spool(place).shim_lock) or time.time() < started + _START_SECONDS


def command_env(python: str, home: Path) -> dict[str, str]:
    """The environment of a command: nothing of ours but the way to the same Python."""
    return {
        "PATH": f"{Path(python).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PAGER": "cat",
        "PYTHONUNBUFFERED": "1",
        "PIP_PROGRESS_BAR": "off",
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def _newest(log: Path) -> bytes:
    if not log.exists():
        return b""
    with log.open("rb") as file:
        return newest(file)
