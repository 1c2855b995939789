"""Keeping programs running, and ending them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.cli import leftovers
from services.cli.programs import Program
from services.cli.supervisor import StartFailed, Supervisor, exit_text, pause_after
from tests.servers import bound_to_us, wait_until


class Rig:
    """A supervisor, what it said and the pids it told of."""

    def __init__(self, directory: Path) -> None:
        self.logs = directory
        self.said: list[str] = []
        self.pids: dict[str, int] = {}
        self.supervisor = Supervisor(directory, self.said.append, self._told, stop_seconds=1.0)

    def start(self, name: str, program: str) -> None:
        self.supervisor.start(Program(name, (sys.executable, "-c", program), dict(os.environ)))

    def log(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def _told(self, pids: dict[str, int]) -> None:
        self.pids = pids


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.supervisor.stop()


SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
TIDY = """
import signal, sys, time
def end(*_):
    print(sys.argv, "ended at", time.monotonic(), flush=True); sys.exit()
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(600)
"""
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
time.sleep(600)
"""


def test_what_dies_is_started_again_and_said(rig: Rig) -> None:
    rig.start("sleeper", SLEEPER)
    rig.supervisor.watch()
    wait_until(lambda: rig.log("sleeper") == "up\n")
    first = rig.pids["sleeper"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: rig.pids["sleeper"] != first)
    wait_until(lambda: rig.log("sleeper") == "up\nup\n")
    (said,) = rig.said
    assert said.startswith("sleeper was killed (SIGKILL); starting it again in 0.5 s")


def test_what_dies_while_starting_is_told_with_its_last_words(rig: Rig) -> None:
    rig.start("broken", "import sys; sys.exit('\\x1b[31mno such setting')")
    with pytest.raises(StartFailed, match="broken ended with exit code 1 while starting; it said: no such setting; "):
        rig.supervisor.wait_for("broken", lambda: False, 10)


def test_what_is_never_ready_is_told(rig: Rig) -> None:
    rig.start("sleeper", SLEEPER)
    wait_until(lambda: rig.log("sleeper"))
    with pytest.raises(StartFailed, match=r"sleeper was not ready within 0.1 s; it said: up"):
        rig.supervisor.wait_for("sleeper", lambda: False, 0.1)


def test_all_are_ended_the_last_one_first(rig: Rig) -> None:
    for name in ("first", "second"):
        rig.start(name, TIDY)
    wait_until(lambda: rig.log("first") and rig.log("second"))
    rig.supervisor.watch()
    rig.supervisor.stop()
    first, second = (float(rig.log(name).split()[-1]) for name in ("first", "second"))
    assert second < first
    assert rig.pids == {}
    assert rig.said == []


def test_what_will_not_end_is_killed_with_its_children(rig: Rig) -> None:
    rig.start("stubborn", STUBBORN)
    wait_until(lambda: "child" in rig.log("stubborn"))
    child = int(rig.log("stubborn").split()[1])
    assert leftovers.birth(child) is not None
    rig.supervisor.stop()
    wait_until(lambda: leftovers.birth(child) is None)


def test_a_program_gets_nothing_but_what_it_is_given(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "x")
    program = Program("env", ("/usr/bin/env",), {"GIVEN": "y"})
    rig.supervisor.start(program)
    wait_until(lambda: rig.log("env"))
    assert rig.log("env") == "GIVEN=y\n"


@pytest.mark.parametrize(("deaths", "pause"), [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (1000, 30.0)])
def test_pauses_grow_with_every_death(deaths: int, pause: float) -> None:
    assert pause_after(deaths) == pause


@pytest.mark.parametrize(
    ("code", "text"), [(0, "ended with exit code 0"), (2, "ended with exit code 2"), (-9, "was killed (SIGKILL)")]
)
def test_an_end_is_put_into_words(code: int, text: str) -> None:
    assert exit_text(code) == text


@pytest.fixture
def orphan() -> Iterator[Callable[[str], int]]:
    """Start a process that this test has to end; the answer is its pid."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str) -> int:
        started.append(subprocess.Popen(bound_to_us([sys.executable, "-c", program])))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_leftovers_are_ended_by_pid_and_birth(orphan: Callable[[str], int]) -> None:
    ours, other = orphan(SLEEPER), orphan(SLEEPER)
    births = {pid: leftovers.birth(pid) or 0 for pid in (ours, other)}
    assert leftovers.end({ours: births[ours], other: births[other] - 1, 2**22 + 1: 5}) == [ours]
    assert leftovers.birth(ours) is None
    assert leftovers.birth(other) == births[other]


def test_the_birth_of_what_is_gone_is_none() -> None:
    assert leftovers.birth(2**22 + 1) is None
    assert leftovers.birth(os.getpid()) is not None
