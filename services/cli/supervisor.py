"""Keeps the programs of a stack running: starts them, starts them again when they die, stops them in order.

A thread looks after them; `say` is called from it. What dies again and again is started ever more seldom.
"""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from services.cli.plain import one_line
from services.cli.programs import Program
from services.core.errors import CohortError

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
STOP_SECONDS = 15.0
LARGEST_LOG_BYTES = 20 * 10**6
_LOOK_SECONDS = 0.1


class StartFailed(CohortError):
    """A program of the stack did not come up. `exit_code` is what it ended with, None if it did not end."""

    def __init__(self, text: str, exit_code: int | None = None) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started: float
    deaths: int = 0
    start_again: float | None = None


class Supervisor:
    """The programs of one stack. `changed` is told the pids whenever they change; `stop_seconds` is for each to end."""

    def __init__(
        self,
        logs: Path,
        say: Callable[[str], None],
        changed: Callable[[dict[str, int]], None],
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._logs = logs
        self._stop_seconds = stop_seconds
        self._say = say
        self._changed = changed
        self._children: dict[str, _Child] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._stopped = threading.Event()

    def start(self, program: Program) -> None:
        """Start a program; being up is for the caller to find out (`wait_for`)."""
        with self._guard:
            self._children[program.name] = _Child(program, self._spawn(program), time.monotonic())
        self._tell()

    def wait_for(self, name: str, is_ready: Callable[[], bool], seconds: float) -> None:
        """Return when `is_ready` holds. Raises `StartFailed` if a program dies before, or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            self._check_alive()
            if is_ready():
                return
            if time.monotonic() > deadline:
                raise StartFailed(f"{name} was not ready within {seconds:g} s; {self._last_words(name)}")
            time.sleep(_LOOK_SECONDS / 2)

    def watch(self) -> None:
        """From now on, start again what dies."""
        threading.Thread(target=self._watch, name="supervisor", daemon=True).start()

    def stop(self) -> None:
        """Stop everything, what was started last first. A second Ctrl-C meanwhile kills what is left."""
        self._stopping.set()
        with self._guard:
            children = list(reversed(self._children.values()))
        try:
            for child in children:
                _stop(child.process, self._stop_seconds)
        except KeyboardInterrupt:
            self._say("killing what is left")
        finally:
            for child in children:
                _kill_group(child.process)
            self._children = {}
            self._tell()
            self._stopped.set()

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            with self._guard:
                for child in self._children.values():
                    if not self._stopping.is_set():
                        self._look_after(child)
        # What this thread has started gets the kernel's signal when the thread ends, which would be out of order.
        self._stopped.wait()

    def _look_after(self, child: _Child) -> None:
        now = time.monotonic()
        if child.start_again is None and child.process.poll() is not None:
            _kill_group(child.process)
            child.deaths = 1 if now - child.started > STEADY_SECONDS else child.deaths + 1
            pause = pause_after(child.deaths)
            child.start_again = now + pause
            why = exit_text(child.process.returncode)
            log = self._log(child.program.name)
            self._say(f"{child.program.name} {why}; starting it again in {pause:g} s (its log: {log})")
        elif child.start_again is not None and now >= child.start_again:
            child.process, child.started, child.start_again = self._spawn(child.program), now, None
            self._tell()

    def _check_alive(self) -> None:
        for name, child in self._children.items():
            code = child.process.poll()
            if code is not None:
                raise StartFailed(f"{name} {exit_text(code)} while starting; {self._last_words(name)}", code)

    def _last_words(self, name: str) -> str:
        path = self._log(name)
        lines = (
            [line for line in path.read_text(errors="replace").splitlines() if line.strip()] if path.exists() else []
        )
        said = f"it said: {one_line(lines[-1], 300)}; " if lines else ""
        return f"{said}its log is {path}"

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        with _opened_log(self._log(program.name)) as log:
            return subprocess.Popen(
                _bound_to_us(program.command),
                env=dict(program.environ),
                cwd=self._logs.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for us alone: the programs are told in order, by `stop`.
                start_new_session=True,
            )

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _tell(self) -> None:
        self._changed({name: child.process.pid for name, child in self._children.items()})


def pause_after(deaths: int) -> float:
    """Seconds before a program that died `deaths` times in a row (1, 2, …) is started again."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** (deaths - 1), LONGEST_PAUSE_SECONDS)


def exit_text(code: int) -> str:
    """How a process ended, in words: `ended with exit code 1`, `was killed (SIGKILL)`."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed ({signal.Signals(-code).name})"


def _stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and whatever it left behind in its process group, and reap it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _bound_to_us(command: tuple[str, ...]) -> list[str]:
    """`command`, told to end by the kernel when this process dies, however it dies (Linux, with util-linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else list(command)


def _opened_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
