"""A run's state is the fold of its events."""

import pytest

from services.core import events as ev
from services.core.errors import IllegalTransition
from services.core.fold import first_state, fold, fold_all
from services.core.lifecycle import Reason, Status
from services.core.records import FileRef, Limits, PlanItem, RunState, Stage
from services.core.rules import Terms
from tests.core.examples import (
    CREATED,
    EMPTY,
    RUN,
    accepted,
    finished,
    llm_call,
    llm_failed,
    llm_request,
    message,
    moved,
    numbered,
    parked,
    running,
    state_after,
    submitted,
    tool_call,
    tool_output,
)

Q, R, W, H, C = Status.QUEUED, Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN, Status.CANCELLING
FILE = FileRef(path="model.pt", sha256=EMPTY, size=3)


def test_the_first_state_is_what_was_asked() -> None:
    state = first_state(RUN, accepted(goal="g", labels={"a": "b"}, deadline=5.0, limits=Limits(turns=7)), CREATED)
    assert (state.seq, state.status, state.turn, state.goal) == (1, Q, 0, "g")
    assert (state.labels, state.limits.turns) == ({"a": "b"}, 7)
    assert (state.created, state.updated, state.deadline, state.ends_at) == (CREATED, CREATED, 5.0, 5.0)
    assert state.snapshot == state.input_snapshot == EMPTY


def test_a_run_without_a_deadline_ends_by_its_limit_of_minutes() -> None:
    assert first_state(RUN, accepted(limits=Limits(minutes=2)), CREATED).ends_at == CREATED + 120


@pytest.mark.parametrize("seq", [1, 3])
def test_only_the_next_event_follows(seq: int) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        fold(state_after(), ev.Event(RUN, seq, CREATED, 0, message()))


def test_every_event_counts_the_seq_and_the_time_and_a_turn_never_falls() -> None:
    state = first_state(RUN, accepted(), CREATED)
    state = fold_all(state, numbered(llm_request("1"), turn=4, time=CREATED + 9))
    assert (state.seq, state.updated, state.turn) == (2, CREATED + 9, 4)
    assert fold_all(state, numbered(message(), after=2, turn=3)).turn == 4


def test_a_move_the_table_forbids_is_refused() -> None:
    with pytest.raises(IllegalTransition):
        state_after(moved(Q, Status.SUCCEEDED))


def test_a_move_carries_its_reason_until_the_next() -> None:
    state = running(moved(R, H, Reason.ASKED))
    assert (state.status, state.reason) == (H, Reason.ASKED)
    assert state_after(moved(Q, R), moved(R, H, Reason.ASKED), moved(H, R)).reason is Reason.NONE


def test_the_end_closes_what_was_open() -> None:
    state = running(tool_call("a"), llm_request("1"), parked("s"), moved(R, C), moved(C, Status.CANCELLED))
    assert (state.open_calls, state.model_call, state.wait) == ((), None, None)
    assert state.ended == CREATED


def test_ready_says_when_the_work_began_and_a_second_worker_does_not_change_it() -> None:
    state = first_state(RUN, accepted(), CREATED)
    state = fold_all(state, numbered(ev.Ready(tool_count=3), time=CREATED + 1))
    state = fold_all(state, numbered(ev.Ready(tool_count=3), after=2, time=CREATED + 2))
    assert state.started == CREATED + 1


def test_tool_calls_are_open_in_order_until_they_are_answered() -> None:
    begun = ev.ToolStateChange(tool_call_id="b", tool="bash", state="running")
    state = running(tool_call("a"), tool_call("b", "bash"), begun)
    assert [(call.tool_call_id, call.index, call.begun) for call in state.open_calls] == [
        ("a", 0, False),
        ("b", 1, True),
    ]
    state = running(tool_call("a"), tool_call("b", "bash"), begun, tool_output("a"))
    assert [call.tool_call_id for call in state.open_calls] == ["b"]


def test_other_changes_of_a_tool_call_do_not_begin_it() -> None:
    state = running(tool_call("a"), ev.ToolStateChange(tool_call_id="a", tool="read", state="approved"))
    assert not state.open_calls[0].begun


def test_a_wait_lasts_until_the_tool_that_parked_has_answered() -> None:
    before = (tool_call("a"), tool_call("w"), parked("s"), moved(R, W), moved(W, R))
    assert running(*before, tool_output("a")).wait is not None
    assert running(*before, tool_output("w")).wait is None


def test_the_money_of_a_call_is_held_and_then_spent() -> None:
    state = running(llm_request("1", reserved=500))
    assert (state.spend.holds, state.spend.microdollars) == ({"1": 500}, 0)
    assert state.model_call is not None
    state = running(llm_request("1", reserved=500), llm_call("1", cost_usd=0.0002))
    assert (state.spend.holds, state.spend.microdollars, state.model_call) == ({}, 200, None)
    assert (state.spend.calls, state.spend.tokens) == (1, 15)


def test_a_failed_call_costs_what_it_cost_and_counts_until_one_answers() -> None:
    failed = (llm_request("1", reserved=500), llm_failed("1", cost_usd=0.0005))
    state = running(*failed)
    assert (state.spend.microdollars, state.spend.reserved_microdollars, state.model_failures) == (500, 0, 1)
    assert running(*failed, llm_request("2"), llm_failed("2")).model_failures == 2
    assert running(*failed, llm_request("2"), llm_call("2")).model_failures == 0


def test_the_other_model_takes_over_once_and_the_turn_of_the_failed_call_goes_on() -> None:
    changed = ev.ModelChanged(source="m", target="n", why="away")
    state = running(llm_request("1"), llm_failed("1"), llm_request("2"), llm_failed("2"), changed)
    assert (state.model, state.fallback_model, state.model_failures) == ("n", "", 1)


def test_an_effort_that_was_refused_is_not_asked_for_again() -> None:
    state = running(ev.EffortDropped(model="m", effort="high", why="400"))
    assert (state.effort, state.model) == ("", "m")


def test_a_goals_rules_model_and_effort_stand_from_the_start() -> None:
    rules = Terms(waived={"seeds": "why"}, cost_line_dollars=1.0)
    asked = accepted(rules=rules, fallback_model="n", effort="low")
    state = first_state(RUN, asked, CREATED)
    assert (state.rules, state.fallback_model, state.effort) == (rules, "n", "low")


def test_spend_is_the_sum_of_models_and_steps() -> None:
    state = running(
        llm_request("1", reserved=9),
        submitted("a", reserved=700),
        llm_call("1", cost_usd=0.0001),
        finished("a", cost_usd=0.0003),
    )
    assert (state.spend.microdollars, state.spend.holds) == (400, {})


def test_a_step_keeps_every_attempt() -> None:
    started = ev.AttemptStarted(step="a", attempt=f"{RUN}-a-1")
    assert running(submitted("a")).steps["a"].last.status == "submitted"
    assert running(submitted("a"), started).steps["a"].last.status == "running"
    state = running(submitted("a"), started, finished("a", outcome="failed"), submitted("a", 2))
    assert [attempt.status for attempt in state.steps["a"].attempts] == ["failed", "submitted"]
    assert [attempt.id for attempt in state.live_attempts()] == [f"{RUN}-a-2"]


def test_only_the_programs_own_failures_count_as_failed() -> None:
    log = [submitted("a"), finished("a", 1, "failed"), submitted("a", 2), finished("a", 2, "lost")]
    state = running(*log, submitted("a", 3), finished("a", 3, "cancelled"))
    assert state.steps["a"].failed_attempts == 1


def exhausted(*more: ev.EventData) -> RunState:
    log: list[ev.EventData] = []
    for number in range(1, 6):
        log += [submitted("a", number), finished("a", number, "failed")]
    return running(*log, *more)


def test_a_person_who_answers_forgives_the_failures_so_far() -> None:
    assert exhausted().exhausted_step() == "a"
    state = exhausted(moved(R, H, Reason.ATTEMPTS_EXHAUSTED), moved(H, R))
    assert state.exhausted_step() is None
    assert state.steps["a"].failed_attempts == 5


def test_a_step_that_shall_stop_says_so_until_it_is_tried_again() -> None:
    cancelling = (submitted("a"), ev.StepCancelRequested(step="a"))
    assert running(*cancelling).steps["a"].cancelling
    again = running(*cancelling, finished("a", outcome="cancelled"), submitted("a", 2))
    assert not again.steps["a"].cancelling


def test_the_workspace_the_plan_and_the_result_are_the_latest() -> None:
    item = PlanItem(id="1", content="train", status="pending")
    result = ev.RunFinished(
        status=Status.SUCCEEDED, reason=Reason.FINISHED, exit_code=0, summary="s", metrics={"f1": 0.9}, artifacts=[FILE]
    )
    changed = ev.WorkspaceChanged(snapshot="1" * 64, parent=EMPTY, tool_call_id="a", paths=["x"])
    state = running(changed, ev.PlanUpdate(plan=[item]), result)
    assert (state.snapshot, state.input_snapshot, state.plan) == ("1" * 64, EMPTY, (item,))
    assert (state.summary, state.metrics, state.artifacts) == ("s", {"f1": 0.9}, (FILE,))


@pytest.mark.parametrize(
    "story",
    [
        ev.AssistantChunk(content="a"),
        ev.ToolLog(tool="bash", log="x"),
        ev.Processing(),
        ev.Interrupted(),
        ev.Shutdown(),
        ev.ErrorRaised(error="e"),
        message(),
    ],
    ids=lambda data: data.event_type,
)
def test_what_only_tells_a_story_changes_nothing_but_the_seq(story: ev.EventData) -> None:
    before, after = running(), running(story)
    assert after == before.model_copy(update={"seq": before.seq + 1})


def test_a_state_survives_its_own_json() -> None:
    state = exhausted(tool_call("a"), parked("a"), llm_request("1", reserved=5), moved(R, W))
    assert RunState.model_validate_json(state.model_dump_json()) == state


def test_an_attempt_stands_where_its_last_progress_says_until_it_is_over() -> None:
    attempt = submitted("train").attempt
    progress = ev.AttemptProgressed(step="train", attempt=attempt, stage=Stage.SCHEDULING, detail="no room")
    state = running(submitted("train"), progress)

    last = state.steps["train"].last
    assert (last.stage, last.detail, last.progressed, last.is_live) == (Stage.SCHEDULING, "no room", CREATED, True)

    last = running(submitted("train"), progress, finished("train")).steps["train"].last
    assert (last.stage, last.detail) == (None, "")
