"""A sandbox's command runs once and is answered whole, whoever dies where something has just been written."""

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.core.records import RunState
from services.core.sandboxes import SANDBOX
from services.core.store import RunStore
from services.worker.tools.bash import TOOL, Bash
from services.worker.tools.tool import Desk, Result
from tests.servers import wait_until
from tests.worker.bench import Bench
from tests.worker.conftest import Moments
from tests.worker.pods import Pods

COMMAND = "echo said; echo changed > new.txt; echo ran >> ../count; sleep 0.1"


@pytest.fixture
def bench(sandbox_desk: Desk, store: RunStore) -> Bench:
    return Bench(sandbox_desk, store)


class Died(Exception):
    """The process would be gone."""


def die() -> None:
    raise Died


def ran_once(result: Any, pods: Pods) -> None:
    assert isinstance(result, Result)
    assert result.text == "exit code: 0\nsaid\n"
    assert [change.path for change in result.changes] == ["new.txt"]
    assert [(pod.directory / "count").read_text() for pod in pods.pods.values()] == ["ran\n"]


@pytest.mark.parametrize(
    "point",
    [
        "runner.command_laid",
        "runner.command_marked",
        "runner.command_given",
        "runner.before_outcome",
        "runner.after_outcome",
    ],
)
def test_a_sidecar_that_dies_there_is_followed_by_one_that_goes_on(bench: Bench, pods: Pods, point: str) -> None:
    pods.sidecars_die_at = point
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(bench.use, "bash", command=COMMAND)
        wait_until(lambda: pods.pods and pods.last.sidecar.poll() is not None, 30, "a sidecar dies")
        assert pods.last.sidecar.returncode == -signal.SIGKILL
        pods.sidecars_die_at = ""
        pods.last.start_sidecar()
        ran_once(answer.result(60), pods)


@pytest.mark.parametrize("point", ["api.command_taken", "api.outcome_recorded"])
def test_an_api_that_dies_there_is_asked_again(bench: Bench, pods: Pods, moments: Moments, point: str) -> None:
    moments.once(point, die)
    ran_once(bench.use("bash", command=COMMAND), pods)


def test_a_worker_that_dies_after_it_queued_a_command_leaves_it_to_the_next(
    bench: Bench, pods: Pods, moments: Moments
) -> None:
    moments.once("worker.command_queued", die)
    with pytest.raises(Died):
        bench.carry_out("bash", bench.call(), command=COMMAND)
    assert TOOL.recover is not None
    ran_once(TOOL.recover(bench.call(), Bash.model_validate({"command": COMMAND})), pods)


def test_a_worker_that_dies_with_money_reserved_has_it_reserved_once(
    bench: Bench, pods: Pods, moments: Moments
) -> None:
    moments.once("worker.sandbox_reserved", die)
    with pytest.raises(Died):
        bench.carry_out("bash", bench.call(), command=COMMAND)
    assert TOOL.recover is not None
    ran_once(TOOL.recover(bench.call(), Bash.model_validate({"command": COMMAND})), pods)
    _, reserved, _ = bench.desk.ledger.account("acme")
    assert reserved == held(bench.state)


def held(state: RunState) -> int:
    assert len(state.steps[SANDBOX].attempts) == 1
    return state.spend.reserved_microdollars
