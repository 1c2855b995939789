"""What `helm test` runs, against a Cohort that is up."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.cli import environment
from services.cli.home import Home
from services.cli.programs import Given
from services.cli.stack import Stack, Wishes, stack
from tests.deploy.chart import CHART

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path_factory.mktemp("user"))}
    given = Given(environment.bare(environ), environment.tuning(environ), environment.of_provider(environ))
    with stack(Home(tmp_path_factory.mktemp("home")), Wishes(given, scripted=True), lambda _: None) as up:
        yield up


def smoke(up: Stack, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", str(CHART / "files" / "smoke.py"), f"--url={up.address.url}", "--goal=Say hello."]
    environ = {"COHORT_KEY": key or up.address.key, "NO_PROXY": "*"}
    return subprocess.run([*command, *arguments], env=environ, capture_output=True, text=True, timeout=100, check=False)


def test_a_goal_comes_to_its_end(up: Stack) -> None:
    done = smoke(up, "--model=scripted/hello")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout


def test_without_a_model_no_goal_is_run(up: Stack) -> None:
    done = smoke(up, "--model=")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no goal is run" in done.stdout and "submitted" not in done.stdout


def test_a_key_that_is_not_known_fails(up: Stack) -> None:
    wrong = f"ck_{'a' * 12}_{'b' * 40}"
    done = smoke(up, "--model=", key=wrong)
    assert done.returncode == 1
    assert "401" in done.stderr and wrong not in done.stdout + done.stderr


def test_a_goal_that_does_not_end_in_time_fails(up: Stack) -> None:
    done = smoke(up, "--model=scripted/hello", "--seconds=0")
    assert done.returncode == 1
    assert "no end in time" in done.stderr
