"""`cohort up`, for real: every service as a process, on a home of its own."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli import leftovers
from tests.servers import bound_to_us, free_port, wait_until

PARTS = {"redis", "api", "worker", "controller"}
STOP_SECONDS = 60


class Up:
    """A `cohort up` that runs."""

    def __init__(self, home: Path, *options: str, path: str = os.environ["PATH"]) -> None:
        self.home = home
        self.environ = {"PATH": path, "HOME": str(home.parent), "COHORT_HOME": str(home)}
        self.process = subprocess.Popen(
            bound_to_us([sys.executable, "-m", "services.cli", "up", *options]),
            env=self.environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.greeting = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.greeting += line
            if line.startswith("Ctrl-C"):
                return
        raise AssertionError(f"it did not come up: {self.process.communicate()[1]}")

    @property
    def stack(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "stack.json").read_text()))

    @property
    def pids(self) -> dict[str, int]:
        return dict(self.stack["pids"])

    def cohort(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "services.cli", *arguments]
        return subprocess.run(command, env=self.environ, text=True, capture_output=True, check=False)

    def stop(self, number: int = signal.SIGINT) -> str:
        """End it as a user does; what it said at the end."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=STOP_SECONDS)[1]


def scrape(url: str) -> str:
    """What a scrape brings; '' while nobody listens."""
    try:
        return httpx.get(url, trust_env=False, timeout=10).text
    except httpx.TransportError:
        return ""


def gone(pids: dict[str, int]) -> bool:
    return all(leftovers.birth(pid) is None for pid in pids.values())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start `cohort up` in a home of this test's own."""
    started: list[Up] = []

    def begin(*options: str, **changes: str) -> Up:
        started.append(Up(tmp_path / "home", *options, **changes))
        return started[-1]

    yield begin
    for up in started:
        up.process.kill()
        up.process.communicate()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One that several tests look at."""
    up = Up(tmp_path_factory.mktemp("up") / "home")
    yield up
    up.stop()


def test_it_says_where_it_is_and_what_is_missing(up: Up) -> None:
    assert f"Cohort is up at http://127.0.0.1:{up.stack['api']}" in up.greeting
    assert str(up.home) in up.greeting
    assert "model        none: set COHORT_MODEL" in up.greeting
    assert set(up.pids) == PARTS


def test_it_says_what_to_scrape_and_writes_it_down(up: Up) -> None:
    assert up.stack["metrics"].keys() == {"api", "worker", "controller"}
    for part, url in up.stack["metrics"].items():
        assert f"{url} ({part})" in up.greeting
        scraped = wait_until(lambda url=url: scrape(url), 60, f"{part} can be scraped")
        assert f'cohort_build_info{{service="{part}",' in scraped


def test_clients_of_the_same_user_find_it(up: Up) -> None:
    done = up.cohort("runs")
    assert (done.returncode, done.stderr) == (0, "cohort: no runs\n")


def test_a_goal_without_a_model_is_refused_with_what_to_do(up: Up) -> None:
    done = up.cohort("submit", "train it")
    assert (done.returncode, done.stdout) == (2, "")
    assert "model" in done.stderr


def test_its_store_is_found_and_sound(up: Up) -> None:
    done = up.cohort("admin", "verify", "--deep")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sound: ")


def test_only_its_owner_may_look_inside(up: Up) -> None:
    for name in ("client.json", "secrets.json", "redis/redis.conf"):
        assert stat.S_IMODE((up.home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(up.home.stat().st_mode) == 0o700


def test_no_secret_stands_in_the_list_of_processes(up: Up) -> None:
    known = json.loads((up.home / "secrets.json").read_text())
    key = json.loads((up.home / "client.json").read_text())["key"]
    for pid in up.pids.values():
        arguments = Path(f"/proc/{pid}/cmdline").read_text()
        assert not any(secret in arguments for secret in (*known.values(), key))


def test_redis_wants_the_password(up: Up) -> None:
    with socket.create_connection(("127.0.0.1", up.stack["redis"])) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")


def test_a_second_start_on_the_same_home_is_refused(up: Up) -> None:
    done = up.cohort("up")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Cohort runs already with the home {up.home}" in done.stderr


def test_a_port_that_is_taken_is_told(up: Up, tmp_path: Path) -> None:
    done = up.cohort("up", "--home", str(tmp_path / "other"), "--port", str(up.stack["api"]))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {up.stack['api']} is taken" in done.stderr


@pytest.mark.parametrize("name", ["api", "redis"])
def test_a_part_that_is_killed_comes_back(up: Up, name: str) -> None:
    before = up.pids[name]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: up.pids[name] != before, message=f"{name} is started again")
    wait_until(lambda: up.cohort("runs").returncode == 0, 30, "the API answers again")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_runs_key_and_port_survive_a_stop_that_leaves_no_process(
    start: Callable[..., Up], number: signal.Signals
) -> None:
    # Not the usual port: another test's stack may take that while this one is down.
    up = start("--port", str(free_port()))
    run = up.cohort("submit", "train it", "--model", "scripted/none").stdout.strip()
    before, pids, client = up.stack, up.pids, (up.home / "client.json").read_text()
    said = up.stop(number)
    assert up.process.returncode == 0
    assert "stopped; runs that are not over go on" in said
    assert gone(pids)
    again = start()
    assert (again.stack["api"], again.stack["redis"]) == (before["api"], before["redis"])
    assert again.stack["metrics"] == before["metrics"]
    assert (again.home / "client.json").read_text() == client
    assert again.cohort("show", run).returncode == 0
    again.stop()


@pytest.mark.slow
def test_two_that_start_at_once_come_up_on_ports_of_their_own(tmp_path: Path) -> None:
    # The pool's threads stay until the end: what they start ends with them.
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda name: Up(tmp_path / name / "home"), ("one", "other")))
        assert len({up.stack["api"] for up in both}) == 2
        assert all(up.cohort("runs").returncode == 0 for up in both)
        for up in both:
            up.stop()


@pytest.mark.slow
def test_a_killed_supervisor_leaves_nothing_that_lasts(start: Callable[..., Up]) -> None:
    up = start()
    pids = up.pids
    up.process.kill()
    up.process.wait()
    # With util-linux the kernel ends them; without it, the next start does.
    again = start()
    wait_until(lambda: gone(pids), 30, "what was left is gone")
    assert set(again.pids) == PARTS
    again.stop()


@pytest.mark.slow
def test_without_a_redis_server_an_embedded_one_says_that_it_keeps_nothing(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("setpriv", "bash", "sh", "env"):
        path = shutil.which(name)
        if path is not None:
            (tools / name).symlink_to(path)
    up = start(path=str(tools))
    assert up.cohort("runs").returncode == 0
    assert "an embedded stand-in takes its place, without a password; it keeps nothing" in up.stop()
