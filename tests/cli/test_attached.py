"""`cohort` as a process: staying with a run through restarts, Ctrl-C and readers that leave."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import IO

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.keys import Keys
from services.core.logs import LogStore
from services.core.redis import Client
from tests.cli.api import ApiProcess, Story
from tests.servers import bound_to_us

Started = subprocess.Popen[str]
Start = Callable[..., Started]


@pytest.fixture
def start(command: list[str]) -> Iterator[Start]:
    """Start `cohort` with its output in pipes."""
    processes: list[Started] = []

    def begin(*arguments: str) -> Started:
        process = subprocess.Popen(
            bound_to_us([*command, *arguments]), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_following_survives_a_restart_of_the_api(api: ApiProcess, story: Story, start: Start) -> None:
    story.begin()
    process = start("events", story.run, "-f", "--json")
    assert [json.loads(line(process.stdout))["seq"] for _ in range(2)] == [1, 2]
    api.kill()
    assert "trying again" in line(process.stderr)
    story.tell(ev.AssistantMessage(content="written while the API was away"))
    api.start()
    story.end()
    out, _ = process.communicate(timeout=30)
    assert [json.loads(text)["seq"] for text in out.splitlines()] == [3, 4]
    assert process.returncode == 0


def test_waiting_survives_a_restart_of_the_api(api: ApiProcess, start: Start, story: Story) -> None:
    process = start("submit", "wait for me", "--wait", "--json")
    run = line(process.stderr).split()[1]
    waiting = Story(story.store, run)
    waiting.begin()
    api.kill()
    assert "trying again" in line(process.stderr)
    api.start()
    waiting.end()
    out, _ = process.communicate(timeout=30)
    assert json.loads(out)["status"] == "succeeded"
    assert process.returncode == 0


def test_ctrl_c_detaches_and_says_how_to_come_back(story: Story, start: Start) -> None:
    story.begin()
    process = start("events", story.run, "-f", "--json")
    for _ in range(2):
        line(process.stdout)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    # The event that is being shown when the signal comes is shown again rather than missed.
    assert err.startswith(
        f"cohort: detached; {story.run} goes on. Come back with: cohort events {story.run} -f --after "
    )
    assert err.split()[-1] in {"1", "2"}
    assert process.returncode == 130


def test_a_log_is_followed_to_its_end(
    story: Story, start: Start, client: Client, keys: Keys, artifacts: ArtifactStore
) -> None:
    logs = LogStore(client, keys, artifacts)
    story.begin()
    attempt = story.submit_step()
    size = logs.append(attempt, 0, b"epoch=1\n")
    process = start("logs", story.run, "train", "-f")
    assert line(process.stdout) == "epoch=1\n"
    logs.append(attempt, size, "epoch=2 ✔\n".encode())
    assert line(process.stdout) == "epoch=2 ✔\n"
    story.finish_attempt(attempt)
    assert process.wait(timeout=10) == 0


def test_a_reader_that_leaves_ends_it_quietly(story: Story, start: Start) -> None:
    for number in range(300):
        story.tell(ev.AssistantMessage(content=f"{number} " + "x" * 1000))
    process = start("events", story.run, "--json")
    line(process.stdout)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=10) == 141
    assert process.stderr.read() == ""


def test_a_locale_without_utf_8_is_no_error(story: Story, command: list[str]) -> None:
    story.tell(ev.AssistantMessage(content="数字 ✔"))
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*command, "events", story.run], capture_output=True, env=environ, check=False)
    assert done.returncode == 0
    assert b"?? ?" in done.stdout


def test_help_loads_none_of_the_slow_libraries() -> None:
    slow = ["httpx", "pydantic", "pydantic_settings", "redis", "litellm", "yaml", "structlog", "sklearn", "numpy"]
    program = (
        "import sys, services.cli.__main__ as cli\n"
        "try: cli.main(['--help'])\n"
        f"except SystemExit: print([name for name in {slow} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "needs a human" in done.stdout


def test_version_says_which(command: list[str]) -> None:
    done = subprocess.run([*command, "version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cohort 0.")
