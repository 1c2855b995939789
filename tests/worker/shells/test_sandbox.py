"""Commands in sandboxes: real shims, hosts and sidecars, a real API, and a test that plays the cluster."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from services.core.records import RunState
from services.core.sandboxes import SANDBOX
from services.core.store import RunStore
from services.worker.shells import Interrupted, OutcomeUnknown
from services.worker.tools.bash import TOOL, Bash
from services.worker.tools.tool import Desk, Park, Result
from tests.servers import wait_until
from tests.worker.bench import Bench
from tests.worker.pods import Pods


@pytest.fixture
def bench(sandbox_desk: Desk, store: RunStore) -> Bench:
    return Bench(sandbox_desk, store)


def attempts(state: RunState) -> list[str]:
    return [attempt.status for attempt in state.steps[SANDBOX].attempts]


class Beside:
    """A command on a thread."""

    def __init__(self, bench: Bench, command: str, **fields: Any) -> None:
        self._pool = ThreadPoolExecutor(1)
        self.future: Future[Any] = self._pool.submit(bench.outcome, "bash", command=command, **fields)

    def result(self) -> Result:
        outcome = self.future.result(timeout=60)
        self._pool.shutdown()
        assert isinstance(outcome, Result)
        return outcome


def test_commands_share_a_sandbox_and_what_they_leave_outside_the_workspace(bench: Bench, pods: Pods) -> None:
    bench.use("bash", command=f"echo kept > {pods_tmp(pods)}")
    assert bench.use("bash", command=f"cat {pods_tmp(pods)}; pwd").text.startswith("exit code: 0\nkept\n")
    assert attempts(bench.state) == ["submitted"]


def pods_tmp(pods: Pods) -> str:
    return str(pods._directory / "outside")


def test_a_sidecar_killed_in_the_middle_of_a_command_loses_nothing(bench: Bench, pods: Pods) -> None:
    beside = Beside(bench, "echo begun; sleep 2; echo changed > new.txt; echo ended")
    pod = pods.until_running()
    pod.kill_sidecar()
    pod.start_sidecar()
    result = beside.result()
    assert result.text == "exit code: 0\nbegun\nended\n"
    assert [change.path for change in result.changes] == ["new.txt"]


def test_a_command_whose_sandbox_is_lost_is_unknown_and_the_next_gets_a_new_one(bench: Bench, pods: Pods) -> None:
    beside = Beside(bench, "echo begun; sleep 60")
    pods.until_running().kill()
    with pytest.raises(OutcomeUnknown, match="unknown"):
        beside.result()
    assert bench.use("bash", command="echo again").text == "exit code: 0\nagain\n"
    assert attempts(bench.state)[0] == "lost"


def test_a_command_whose_sandbox_is_told_to_go_is_stopped_and_answered(bench: Bench, pods: Pods) -> None:
    beside = Beside(bench, "echo begun; echo half > half.txt; sleep 60")
    pods.until_running().terminate()
    result = beside.result()
    assert "ended by: cancelled" in result.text
    assert "begun" in result.text
    assert [change.path for change in result.changes] == ["half.txt"]


def test_a_command_waits_while_no_sandbox_can_be_had_and_its_caller_may_leave(bench: Bench, pods: Pods) -> None:
    pods.is_full = True
    arguments = {"command": "echo ran"}
    polls = iter([False, False, False])
    with pytest.raises(Interrupted):
        bench.carry_out("bash", bench.call(stop=lambda: next(polls, True)), **arguments)
    pods.is_full = False
    assert TOOL.recover is not None
    recovered = TOOL.recover(bench.call(), Bash.model_validate(arguments))
    assert recovered is not None
    assert recovered.text == "exit code: 0\nran\n"


def test_an_idle_sandbox_ends_and_costs_no_more_and_the_next_command_gets_another(bench: Bench, pods: Pods) -> None:
    bench.use("bash", command="echo one > one.txt")
    sandboxes = bench.store.keys.sandbox(bench.run)
    bench.store.client.hset(sandboxes, "idle_ms", 1)
    wait_until(lambda: attempts(bench.state) == ["succeeded"], 30)
    assert bench.use("bash", command="cat one.txt").text == "exit code: 0\none\n"
    assert len(attempts(bench.state)) == 2


def test_what_a_sandbox_may_cost_is_reserved(bench: Bench, pods: Pods) -> None:
    bench.use("bash", command="true")
    _, reserved, _ = bench.desk.ledger.account("acme")
    assert reserved == bench.state.spend.reserved_microdollars == round(1e6 * (3600 + 1860) / 3600)


def test_who_cannot_pay_the_whole_time_of_a_sandbox_gets_a_shorter_one(bench: Bench, pods: Pods) -> None:
    bench.desk.ledger.set_cap("acme", 1.0)
    assert bench.use("bash", command="echo ran").text == "exit code: 0\nran\n"
    assert bench.state.spend.reserved_microdollars == round(1e6 * (900 + 1860) / 3600)


def test_a_tenant_who_cannot_pay_for_a_sandbox_is_told_and_nothing_runs(bench: Bench, pods: Pods) -> None:
    bench.desk.ledger.set_cap("acme", 0.5)
    with pytest.raises(Exception, match=r"nothing was run: tenant acme has \$0.50 left"):
        bench.use("bash", command="true")
    assert SANDBOX not in bench.state.steps


def test_gpus_that_no_pool_has_are_refused_and_nothing_runs(bench: Bench, pods: Pods) -> None:
    with pytest.raises(Exception, match="nothing was run: no pool can ever hold this"):
        bench.use("bash", command="nvidia-smi", gpus=1)
    assert SANDBOX not in bench.state.steps


def test_finish_waits_until_the_sandbox_is_gone(bench: Bench, pods: Pods) -> None:
    bench.use("bash", command="true")
    parked = bench.outcome("finish", summary="done")
    assert isinstance(parked, Park)
    assert parked.wait.steps == (SANDBOX,)
    wait_until(lambda: not bench.state.live_attempts(), 30)
    finished = bench.outcome("finish", summary="done")
    assert isinstance(finished, Result)
    assert finished.finished


def test_a_step_of_the_agents_cannot_be_named_so(bench: Bench, pods: Pods) -> None:
    with pytest.raises(Exception, match="give yours another name"):
        bench.use("submit_step", name=SANDBOX, command="true")


def test_what_a_command_puts_in_place_of_our_files_opens_nothing(bench: Bench, pods: Pods) -> None:
    secret = pods._directory / "secret"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("of somebody else")
    script = f"cd ../spool/commands/call_*; rm log; ln -s {secret} log; mkfifo pipe; echo x > ../../../work/kept.txt"
    result = bench.use("bash", command=script)
    assert "of somebody else" not in result.text
    assert result.text.startswith("exit code: 0")
    assert [change.path for change in result.changes] == ["kept.txt"]


def test_a_command_too_long_for_an_argument_says_so(bench: Bench, pods: Pods) -> None:
    result = bench.use("bash", command="echo " + "é" * 90_000)
    assert result.text.startswith("exit code: 126")
    assert "could not be started" in result.text


def test_two_commands_at_once_get_one_sandbox(bench: Bench, pods: Pods) -> None:
    both = [Beside(bench, f"echo {name} > {name}; cat {name}") for name in "ab"]
    assert [one.result().text for one in both] == ["exit code: 0\na\n", "exit code: 0\nb\n"]
    assert len(attempts(bench.state)) == 1


def test_a_sandbox_that_fails_is_told_with_its_reason_and_nothing_runs(bench: Bench, pods: Pods) -> None:
    pods.is_full = True
    beside = Beside(bench, "echo ran")
    attempt = wait_until(lambda: SANDBOX in bench.state.steps and bench.state.steps[SANDBOX].last.id, 30)
    bench.close(attempt, "failed", reason="its image is nowhere to be found")
    with pytest.raises(Exception, match="nothing was run, the sandbox could not be started: its image is nowhere"):
        beside.result()
    pods.is_full = False
    assert bench.use("bash", command="echo again").text == "exit code: 0\nagain\n"


def test_a_command_that_is_never_heard_of_again_is_unknown(bench: Bench, pods: Pods) -> None:
    beside = Beside(bench, "sleep 60", timeout_seconds=1)
    pod = pods.until_running()
    pod.kill_sidecar()
    sandbox = bench.store.keys.sandbox(bench.run)
    bench.store.client.hincrby(sandbox, "call_1_1:begun_at", -1_000_000)
    with pytest.raises(OutcomeUnknown, match="has not told"):
        beside.result()
