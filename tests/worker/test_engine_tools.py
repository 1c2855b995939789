"""Tools in the engine's hands: side by side, raising, waiting, cut off, and told as unknown."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.paths import Limits as PathLimits
from services.core.records import Limits, RunState
from services.core.store import Draft
from services.core.workspace import Workspace
from services.worker.tools import TOOLS
from services.worker.tools.tool import Call, Parameters, Park, Replay, Result, Tool
from tests.servers import wait_until
from tests.worker.conftest import Moments, OpenWorkshop
from tests.worker.workshop import Workshop


def with_tools(workshop: Workshop, *tools: Tool[Any]) -> Workshop:
    """The workshop's engine with further tools, or others of the same name."""
    table = {**TOOLS, **{tool.name: tool for tool in tools}}
    engine = workshop.engine
    workshop.engine = replace(engine, turn=replace(engine.turn, tools=table), calls=replace(engine.calls, tools=table))
    return workshop


class Nothing(Parameters):
    """No arguments."""


def tool(name: str, run: Any, replay: Replay = Replay.PURE) -> Tool[Nothing]:
    return Tool(name=name, description="For a test.", parameters=Nothing, run=run, replay=replay, effects=frozenset())


def roles(workshop: Workshop, run: str) -> list[str]:
    return [message.get("tool_call_id") or message["role"] for message in workshop.history(run)][2:]


def told(workshop: Workshop, run: str) -> list[str]:
    """What the model was told by its tools, in the order of its calls."""
    return [message["content"] for message in workshop.history(run) if message["role"] == "tool"]


# --- Parallel calls ---------------------------------------------------------------------------------------------------


def test_parallel_calls_take_as_long_as_one_and_are_answered_in_call_order(workshop: Workshop) -> None:
    run = workshop.accept("parallel")

    assert workshop.drive(run).status is Status.SUCCEEDED

    outputs = [event for event in workshop.store.events(run) if event.event_type == "tool_output"]
    begun = [event for event in workshop.store.events(run) if event.event_type == "tool_state_change"]
    # Sleeps of 0.9, 0.7 and 0.7 seconds: one after the other they would take 2.3.
    assert outputs[3].time - begun[0].time < 2.2
    assert outputs[0].data.tool_call_id == "call_1_2"  # type: ignore[attr-defined]
    assert roles(workshop, run)[:5] == ["assistant", "call_1_0", "call_1_1", "call_1_2", "call_1_3"]
    answers = told(workshop, run)
    assert [answer.splitlines()[-1] for answer in (answers[0], answers[1], answers[3])] == ["first", "second", "fourth"]
    assert answers[2].startswith("error: ")


def test_calls_that_build_on_each_other_keep_their_order(workshop: Workshop) -> None:
    run = workshop.accept("mixed")

    workshop.drive(run)

    write, bash, read = told(workshop, run)[:3]
    assert write.startswith("wrote a.txt")
    assert bash == "exit code: 0\none\n"
    # `read` stands beside `bash`, so it may see the file before or after it.
    assert read in {"1\tone", "1\ttwo"}
    assert workshop.workspace.read(workshop.state(run).snapshot, "a.txt") == b"two\n"


def test_two_commands_that_delete_the_same_file_both_did(workshop: Workshop) -> None:
    run = workshop.accept("deletes")

    state = workshop.drive(run)

    assert state.status is Status.SUCCEEDED
    assert workshop.workspace.list(state.snapshot) == []
    assert [answer.splitlines()[0] for answer in workshop.answers(run)[1:3]] == ["exit code: 0"] * 2


# --- Errors -----------------------------------------------------------------------------------------------------------


def test_wrong_arguments_are_answered_field_by_field(workshop: Workshop) -> None:
    run = workshop.accept("wrong")

    assert workshop.drive(run).status is Status.SUCCEEDED
    bash, read = told(workshop, run)[:2]
    assert bash.startswith("error: command: ")
    assert read.startswith("error: lines: ")
    assert workshop.events(run, ev.ToolStateChange) == []


def test_a_secret_that_a_command_prints_reaches_neither_the_log_nor_the_model(workshop: Workshop) -> None:
    run = workshop.accept("prints-secrets")

    assert workshop.drive(run).status is Status.SUCCEEDED

    output = workshop.events(run, ev.ToolOutput)[0].output
    assert "key [REDACTED]" in output and told(workshop, run)[0] == output
    assert "0123456789" not in repr(workshop.history(run)[3:]) + output


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("deep")])
def test_a_tool_that_raises_is_a_tool_error_and_not_the_end(workshop: Workshop, error: Exception) -> None:
    def explode(call: Call, arguments: Nothing) -> Result:
        raise error

    with_tools(workshop, tool("explode", explode))
    run = workshop.accept("explodes")

    assert workshop.drive(run).status is Status.SUCCEEDED
    answers = workshop.answers(run)
    assert answers[0].startswith(f"error: the tool itself failed: {type(error).__name__}")
    assert answers[1].startswith("plan noted")
    assert not workshop.events(run, ev.ToolOutput)[0].success


def test_a_call_of_a_tool_that_an_upgrade_took_away_is_answered(workshop: Workshop, moments: Moments) -> None:
    def upgrade() -> None:
        del workshop.engine.calls.tools["explode"]

    with_tools(workshop, tool("explode", lambda *_: Result("boom")))
    moments.once("worker.reply_recorded", upgrade)
    run = workshop.accept("explodes")

    assert workshop.drive(run).status is Status.SUCCEEDED
    assert "there is no tool 'explode' any more" in told(workshop, run)[0]


def test_files_that_cannot_be_kept_are_the_tools_error(workshop: Workshop) -> None:
    calls = workshop.engine.calls
    small = Workspace(workshop.workspace.store, PathLimits(files=3))
    workshop.engine = replace(workshop.engine, calls=replace(calls, desk=replace(calls.desk, workspace=small)))
    run = workshop.accept("litters")

    state = workshop.drive(run)

    assert state.status is Status.SUCCEEDED
    assert workshop.answers(run)[0].startswith("exit code: 0\nlittered\n")
    assert "the changed files are not kept: " in workshop.answers(run)[0]
    assert not workshop.events(run, ev.ToolOutput)[0].success
    assert state.snapshot == state.input_snapshot


def test_false_claims_are_refused_and_the_run_goes_on(workshop: Workshop) -> None:
    run = workshop.accept("claims")

    state = workshop.drive(run)

    assert (state.status, state.turn, state.metrics) == (Status.SUCCEEDED, 2, {})
    assert "not finished:" in workshop.answers(run)[0]


# --- Steps ------------------------------------------------------------------------------------------------------------


def waits(state: RunState) -> bool:
    return state.status is Status.WAITING


def test_a_run_that_waits_for_a_step_is_parked_until_it_is_over(workshop: Workshop) -> None:
    run = workshop.accept("trains")
    state = workshop.drive(run, waits)

    [attempt] = state.live_attempts()
    assert (state.reason, state.wait.steps) == (Reason.WAITING_FOR_STEPS, ("train",))  # type: ignore[union-attr]
    assert workshop.advance(run) == "idle"
    assert workshop.keeper.count() == 0

    workshop.close(attempt.id)
    state = workshop.drive(run)

    assert (state.status, state.wait) == (Status.SUCCEEDED, None)
    assert workshop.answers(run)[1].startswith("Step train, attempt 1: succeeded")
    assert workshop.path_of(run) == ["running", "waiting", "running", "succeeded"]


def test_a_wait_whose_time_is_over_is_answered_with_the_progress(workshop: Workshop) -> None:
    run = workshop.accept("peeks")
    workshop.drive(run, waits)

    state = workshop.drive(run, lambda state: state.turn == 3 and waits(state))

    assert workshop.answers(run)[1].startswith("The wait ended because 0.005 minutes are over")
    assert workshop.path_of(run) == ["running", "waiting", "running", "waiting"]
    workshop.close(state.steps["train"].last.id)
    assert workshop.drive(run).status is Status.SUCCEEDED


def test_a_warning_ends_the_wait_once_and_is_read(workshop: Workshop) -> None:
    run = workshop.accept("peeks")
    attempt = workshop.drive(run, waits).steps["train"].last

    warned = ev.AttemptWarned(step="train", attempt=attempt.id, kind="divergence", text="loss went up to 9")
    workshop.store.record(run, "warned", lambda state: Draft((warned,)))
    state = workshop.drive(run, lambda state: len(workshop.answers(run)) >= 2)

    answer = workshop.answers(run)[1]
    assert answer.startswith("The wait ended because a warning has come")
    assert "train: divergence: loss went up to 9" in answer
    assert state.unheard == ()
    assert [warning.kind for warning in state.steps["train"].warnings] == ["divergence"]


def test_a_message_interrupts_the_wait_and_is_read(workshop: Workshop) -> None:
    run = workshop.accept("trains")
    workshop.drive(run, waits)

    workshop.say(run, "How far is it?")
    workshop.drive(run, lambda state: len(workshop.answers(run)) >= 2)

    assert workshop.answers(run)[1].startswith("The wait ended because a message has come")
    assert roles(workshop, run)[2:5] == ["assistant", "call_2_0", "user"]


def test_a_message_that_comes_while_the_run_parks_is_not_slept_over(workshop: Workshop) -> None:
    said: list[str] = []

    def wait(call: Call, arguments: Any) -> Result | Park:
        outcome = TOOLS["wait_for_steps"].run(call, arguments)
        if not said:
            said.append("How far is it?")
            workshop.say(run, said[0])
        return outcome

    with_tools(workshop, replace(TOOLS["wait_for_steps"], run=wait))
    run = workshop.accept("trains")

    workshop.advance(run)

    assert "waiting" not in workshop.path_of(run)
    assert workshop.answers(run)[1].startswith("The wait ended because a message has come")


def test_a_step_that_ends_while_the_run_parks_is_not_slept_over(workshop: Workshop) -> None:
    def wait(call: Call, arguments: Any) -> Result | Park:
        outcome = TOOLS["wait_for_steps"].run(call, arguments)
        for attempt in call.state.live_attempts():
            workshop.close(attempt.id)
        return outcome

    with_tools(workshop, replace(TOOLS["wait_for_steps"], run=wait))
    run = workshop.accept("trains")

    assert workshop.advance(run) == "succeeded"
    assert "waiting" not in workshop.path_of(run)


def test_a_rule_that_refuses_is_on_record_and_its_way_is_open(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(local_price_per_hour=10.0)
    run = workshop.accept("splurges", files={"train.py": b"print(1)  # into COHORT_OUTPUT_DIR"})

    state = workshop.drive(run, waits)
    [refused] = workshop.events(run, ev.RuleRefused)
    assert (refused.rule, refused.step, [one.id for one in state.live_attempts()]) == (
        "smoke_test",
        "train",
        [f"{run}-smoke-1"],
    )
    assert workshop.answers(run)[0] == f"error: not done, for the rules of this run:\n- smoke_test: {refused.text}"
    workshop.close(f"{run}-smoke-1")

    state = workshop.drive(run, lambda state: "train" in state.steps and waits(state))
    workshop.close(state.steps["train"].last.id)
    assert workshop.drive(run).status is Status.SUCCEEDED
    assert len(workshop.events(run, ev.RuleRefused)) == 1


def test_a_step_that_keeps_failing_needs_a_person_who_can_let_it_go_on(workshop: Workshop) -> None:
    run = workshop.accept("retrains", limits=Limits(attempts=2))
    for number in (1, 2):
        state = workshop.drive(run, waits)
        workshop.close(state.steps["train"].last.id, "failed", exit_code=1, reason="exit code 1")
        assert state.steps["train"].last.number == number

    state = workshop.drive(run)
    assert (state.status, state.reason, state.exit_code) == (Status.NEEDS_HUMAN, Reason.ATTEMPTS_EXHAUSTED, 7)
    assert "train failed 2 times" in state.detail

    workshop.say(run, "Try once more.")
    state = workshop.drive(run, waits)
    workshop.close(state.steps["train"].last.id)
    assert workshop.drive(run).status is Status.SUCCEEDED


def test_the_money_a_step_holds_is_the_runs_until_it_is_over(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(local_price_per_hour=1.0)
    run = workshop.accept("trains")
    state = workshop.drive(run, waits)
    assert state.spend.reserved_microdollars == 100_000

    workshop.close(state.steps["train"].last.id, cost_usd=0.02)
    state = workshop.drive(run)

    assert (state.spend.microdollars, state.spend.reserved_microdollars) == (20_000, 0)


# --- Cancel -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", ["sleeps", "dawdles"])
def test_a_cancel_ends_a_run_within_seconds_whatever_it_is_at(open_workshop: OpenWorkshop, story: str) -> None:
    workshop = open_workshop(lease_seconds=3.0)
    run = workshop.accept(story)
    is_at_it = ev.ToolStateChange if story == "sleeps" else ev.LlmRequest

    with ThreadPoolExecutor(1) as pool:
        slice_ = pool.submit(workshop.advance, run)
        wait_until(lambda: workshop.events(run, is_at_it), 20)
        shims = wait_until(lambda: processes_in(workshop, run), 20) if story == "sleeps" else []
        cancelled = time.monotonic()
        workshop.cancel(run)
        assert slice_.result(timeout=20) == "cancelled"

    assert time.monotonic() - cancelled < 10
    state = workshop.state(run)
    assert (state.status, state.reason, state.exit_code) == (Status.CANCELLED, Reason.CANCELLED_BY_USER, 4)
    assert (state.open_calls, state.model_call, state.spend.holds) == ((), None, {})
    assert not [pid for pid in shims if os.path.exists(f"/proc/{pid}")]
    assert processes_in(workshop, run) == []
    assert len(workshop.events(run, ev.Interrupted)) == 1


def processes_in(workshop: Workshop, run: str) -> list[int]:
    """The processes that work in a run's directories."""
    place = str(workshop.settings.state_dir / "runs" / run)
    return [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if place in _command_of(pid)]


def _command_of(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


@pytest.mark.parametrize("story", ["asks", "trains", "limited"])
def test_a_parked_run_is_cancelled_at_once(workshop: Workshop, story: str) -> None:
    run = workshop.accept(story)
    state = workshop.drive(run, lambda state: state.status.is_parked)

    assert workshop.cancel(run).status is Status.CANCELLING
    for attempt in state.live_attempts():
        assert workshop.advance(run) == "cancelling"
        workshop.close(attempt.id, "cancelled", exit_code=None, reason="cancelled")

    assert workshop.drive(run).status is Status.CANCELLED


def test_a_run_is_cancelled_before_its_first_turn(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    workshop.cancel(run)

    state = workshop.drive(run)

    assert (state.status, state.turn) == (Status.CANCELLED, 0)
    assert workshop.path_of(run) == ["cancelling", "cancelled"]


def test_a_cancel_between_a_reply_and_its_calls_stops_them(workshop: Workshop, moments: Moments) -> None:
    run = workshop.accept("hello")
    moments.once("worker.reply_recorded", lambda: workshop.cancel(run))

    state = workshop.drive(run)

    assert state.status is Status.CANCELLED
    assert workshop.answers(run) == []


# --- Workers that come after ------------------------------------------------------------------------------------------


def test_a_command_is_left_to_the_next_worker_when_this_one_has_to_stop(open_workshop: OpenWorkshop) -> None:
    first, second = open_workshop(), open_workshop()
    run = first.accept("parallel")

    with ThreadPoolExecutor(1) as pool:
        slice_ = pool.submit(first.advance, run)
        wait_until(lambda: len(processes_in(first, run)) >= 3, 20)
        first.engine.draining.set()
        assert slice_.result(timeout=20) == "running"

    assert second.drive(run).status is Status.SUCCEEDED
    answers = told(second, run)
    assert [answer.splitlines()[-1] for answer in (answers[0], answers[1], answers[3])] == ["first", "second", "fourth"]
    assert len(second.events(run, ev.ToolStateChange)) == 3
    first.engine.shell.close(run)


def test_a_command_begun_by_a_worker_of_which_nothing_is_left_has_an_unknown_outcome(
    workshop: Workshop, moments: Moments
) -> None:
    class Dead(BaseException):
        """The worker is gone at this line."""

    def die() -> None:
        raise Dead

    run = workshop.accept("hello")
    moments.once("worker.tool_begun", die)
    with pytest.raises(Dead):
        workshop.advance(run)
    workshop.lose_lease(run)

    state = workshop.drive(run)

    assert state.status is Status.SUCCEEDED
    assert workshop.answers(run)[0].startswith("outcome unknown: the worker died while this ran")
    assert len(workshop.events(run, ev.ToolStateChange)) == 1
