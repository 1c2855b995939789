"""What each event counts for."""

from collections.abc import Mapping
from typing import Any

import pytest

from services.core import events as ev
from services.core.appended import Appended
from services.core.fold import first_state, fold
from services.core.lifecycle import Reason, Status
from services.core.monitoring.series import Kind
from services.core.monitoring.tally import TABLE, tally
from services.core.numbering import number
from services.core.records import Diagnosis, RunState, Stage
from services.core.research import Parent
from services.core.resources import Resources
from services.core.taxonomy import Failure, Owner
from tests.core.examples import (
    CREATED,
    RUN,
    accepted,
    finished,
    llm_call,
    llm_failed,
    llm_request,
    moved,
    submitted,
    tool_output,
)

Q, R, W, C = Status.QUEUED, Status.RUNNING, Status.WAITING, Status.CANCELLING
Counts = Mapping[tuple[str, ...], float]


class Told:
    """A run's log as it grows: what each append counts for, by name and labels, but for the events themselves."""

    def __init__(self, **fields: object) -> None:
        data = accepted(**fields)  # type: ignore[arg-type]
        self.state: RunState = first_state(RUN, data, CREATED)
        event = ev.Event(RUN, 1, CREATED, 0, data)
        self.first = _counts(Appended(None, (event,), self.state))

    def __call__(self, *data: ev.EventData, at: float = 0.0) -> Counts:
        """Append these, so many seconds after the run was accepted."""
        before = self.state
        events, self.state = number(before, data, CREATED + at, outside=False)
        return _counts(Appended(before, tuple(events), self.state))


def _counts(appended: Appended) -> Counts:
    found: dict[tuple[str, ...], float] = {}
    for series, labels, amount in tally(appended):
        assert len(labels) == len(series.labels)
        key = (series.name.removeprefix("cohort_").removesuffix("_total"), *labels)
        if series.name != "cohort_events_total":
            assert series.kind is Kind.COUNTER or key not in found
            found[key] = found.get(key, 0.0) + amount
    return found


def began(**fields: object) -> Told:
    """A run that a worker has taken."""
    told = Told(**fields)
    told(moved(Q, R))
    return told


def progressed(stage: Stage, detail: str = "") -> ev.AttemptProgressed:
    return ev.AttemptProgressed(step="train", attempt=f"{RUN}-train-1", stage=stage, detail=detail)


STARTED = ev.AttemptStarted(step="train", attempt=f"{RUN}-train-1")


def step(pool: str = "a100", gpus: int = 2, nodes: int = 2) -> ev.StepSubmitted:
    resources = Resources(gpus=gpus, nodes=nodes)
    return submitted("train").model_copy(update={"pool": pool, "resources": resources})


def over(outcome: Any = "succeeded", **fields: object) -> ev.AttemptFinished:
    return finished("train", outcome=outcome, cost_usd=0.5).model_copy(update=fields)


# --- Events and runs --------------------------------------------------------------------------------------------------


def test_every_event_counts_by_its_type_and_one_of_a_newer_version_too() -> None:
    told = began()
    before = told.state
    strange = ev.Unknown(kind="of_tomorrow", payload={})
    events, after = number(before, (moved(R, C), strange), CREATED, outside=False)
    kinds = [labels for series, labels, _ in tally(Appended(before, tuple(events), after)) if "events" in series.name]
    assert kinds == [("status_changed",), ("unknown",)]


def test_a_goal_is_its_tenants_and_a_research_is_counted_apart() -> None:
    assert Told(tenant="acme").first == {("runs_submitted", "acme"): 1}
    research = Told(parent=Parent(run="r00000000002", tool_call_id="a"))
    assert research.first == {("researches",): 1}
    assert research(moved(Q, R), at=3) == {}
    assert research(moved(R, Status.SUCCEEDED, Reason.FINISHED), at=9) == {}


def test_a_run_waits_for_its_first_turn_and_ends_after_so_long() -> None:
    told = Told()
    assert told(moved(Q, R), at=7) == {("run_queue_seconds",): 7}
    assert told(moved(R, W, Reason.WAITING_FOR_STEPS), at=20) == {}
    assert told(moved(W, R), at=30) == {}
    assert told(moved(R, Status.SUCCEEDED, Reason.FINISHED), at=90) == {
        ("runs_ended", "succeeded", "finished"): 1,
        ("run_seconds", "succeeded"): 90,
    }


def test_a_run_that_ends_early_ends_once_and_with_its_reason() -> None:
    told = Told()
    assert told(moved(Q, C, Reason.CANCELLED_BY_USER), at=5) == {}
    ended = told(moved(C, Status.CANCELLED, Reason.CANCELLED_BY_USER), at=6)
    assert ended == {("runs_ended", "cancelled", "cancelled_by_user"): 1, ("run_seconds", "cancelled"): 6}


def test_no_label_is_empty() -> None:
    assert ("runs_ended", "failed", "none") in began()(moved(R, C), moved(C, Status.FAILED), at=1)


# --- The model and its tools ------------------------------------------------------------------------------------------


def test_a_call_that_is_made_again_begins_no_turn() -> None:
    told = began()
    assert told(llm_request("1")) == {("turns",): 1}
    assert told(llm_failed("1", cost_usd=0.25)) == {
        ("model_calls", "m", "timeout"): 1,
        ("model_dollars", "m", "acme"): 0.25,
    }
    assert told(llm_request("2")) == {}
    told(llm_call("2"))
    assert told(llm_request("3")) == {("turns",): 1}
    assert told.state.turn == 2


def test_a_reply_counts_its_time_its_tokens_and_its_money() -> None:
    told = began(tenant="acme")
    told(llm_request("1"))
    fields = {"latency_ms": 1500, "first_token_ms": 400, "cache_read_tokens": 6, "cache_creation_tokens": 3}
    assert told(llm_call("1", cost_usd=0.5).model_copy(update=fields)) == {
        ("model_calls", "m", "ok"): 1,
        ("model_call_seconds", "m"): 1.5,
        ("model_first_token_seconds", "m"): 0.4,
        ("model_tokens", "m", "prompt"): 10,
        ("model_tokens", "m", "completion"): 5,
        ("model_tokens", "m", "cache_read"): 6,
        ("model_tokens", "m", "cache_write"): 3,
        ("model_dollars", "m", "acme"): 0.5,
    }


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        (tool_output("a", "bash"), {("tool_calls", "bash", "ok"): 1}),
        (tool_output("a").model_copy(update={"success": False}), {("tool_calls", "read", "error"): 1}),
        (ev.RuleRefused(rule="seeds", step="train", text="no"), {("rules_refused", "seeds"): 1}),
        (ev.AgentNudged(text="you go in circles"), {("agent_nudges",): 1}),
        (ev.CompletionQuestioned(problems=["no model"]), {("completions_questioned",): 1}),
        (ev.AssistantChunk(content="so"), {}),
    ],
)
def test_what_the_agent_does_is_counted(data: ev.EventData, counts: Counts) -> None:
    assert began()(data) == counts


# --- Steps ------------------------------------------------------------------------------------------------------------


def test_an_attempts_way_to_its_program_is_told_stage_by_stage() -> None:
    told = began()
    assert told(step(), at=10) == {("steps_submitted", "a100", "agent"): 1}
    assert told(progressed(Stage.QUEUED), at=11) == {}
    assert told(progressed(Stage.QUEUED, "GPU quota"), at=20) == {}
    assert told(progressed(Stage.PULLING), at=40) == {("attempt_stage_seconds", "a100", "queued"): 30}
    assert told(progressed(Stage.STARTING), at=45) == {("attempt_stage_seconds", "a100", "pulling"): 5}
    assert told(STARTED, at=47) == {
        ("attempt_stage_seconds", "a100", "starting"): 2,
        ("attempt_stage_seconds", "a100", "to_running"): 37,
    }
    assert told(progressed(Stage.RUNNING), at=48) == {}
    assert told(progressed(Stage.UNKNOWN), at=60) == {}
    assert told(progressed(Stage.FINISHING), at=70) == {}


def test_a_cluster_that_says_first_that_it_runs_counts_no_stage_twice() -> None:
    told = began()
    told(step(), at=10)
    told(progressed(Stage.STARTING), at=11)
    assert told(progressed(Stage.RUNNING), at=15) == {("attempt_stage_seconds", "a100", "starting"): 5}
    assert told(STARTED, at=16) == {("attempt_stage_seconds", "a100", "to_running"): 6}


def test_a_program_that_was_over_before_anybody_looked_has_come_to_run_all_the_same() -> None:
    told = began()
    told(step(), at=10)
    told(progressed(Stage.STARTING), at=11)
    counts = told(over(seconds=2.0, exited=CREATED + 15), at=20)
    assert counts["attempt_stage_seconds", "a100", "starting"] == 3
    assert counts["attempt_stage_seconds", "a100", "to_running"] == 3
    assert counts["diagnosis_seconds",] == 5


def test_an_attempt_that_never_ran_ends_in_its_stage_and_used_nothing() -> None:
    told = began()
    told(step(), at=10)
    told(progressed(Stage.SCHEDULING), at=11)
    counts = told(over("lost", seconds=0.0, cost_usd=0.0, log_complete=False, log_bytes=0), at=310)
    assert counts == {
        ("attempts_ended", "a100", "lost"): 1,
        ("attempt_stage_seconds", "a100", "scheduling"): 300,
        ("attempt_failures", "unknown"): 1,
        ("step_dollars", "a100", "acme"): 0,
    }


def test_what_a_program_used_is_paid_and_is_no_waste_where_it_succeeded() -> None:
    told = began()
    told(step(gpus=2, nodes=2), at=1)
    told(STARTED, at=2)
    assert told(over(seconds=100.0, exited=CREATED + 102), at=103) == {
        ("attempts_ended", "a100", "succeeded"): 1,
        ("attempt_seconds", "a100", "succeeded"): 100,
        ("diagnosis_seconds",): 1,
        ("step_dollars", "a100", "acme"): 0.5,
        ("gpu_seconds", "a100", "acme", "succeeded"): 400,
    }


@pytest.mark.parametrize("outcome", ["failed", "lost", "cancelled"])
def test_the_gpus_of_what_came_to_nothing_are_wasted(outcome: str) -> None:
    told = began()
    told(step(gpus=1, nodes=1))
    told(STARTED)
    counts = told(over(outcome, seconds=60.0), at=61)
    assert counts["gpu_wasted_seconds", "a100", outcome] == counts["gpu_seconds", "a100", "acme", outcome] == 60
    assert (("attempt_failures", "unknown") in counts) is (outcome != "cancelled")


def test_a_failure_is_counted_by_its_class() -> None:
    told = began()
    told(step())
    diagnosis = Diagnosis(failure=Failure.OUT_OF_GPU_MEMORY, owner=Owner.RESOURCES, code="cuda", summary="")
    assert told(over("failed", diagnosis=diagnosis))["attempt_failures", "out_of_gpu_memory"] == 1


def test_a_cancel_takes_from_the_first_wish_to_the_end_on_record() -> None:
    told = began()
    told(step(), at=1)
    told(STARTED, at=2)
    told(ev.StepCancelRequested(step="train"), at=10)
    told(moved(R, C, Reason.CANCELLED_BY_USER), at=14)
    assert told(over("cancelled"), at=17)["cancel_seconds",] == 7


def test_the_end_of_a_run_is_a_wish_that_its_attempts_end() -> None:
    told = began()
    told(step(), at=1)
    told(moved(R, C, Reason.CANCELLED_BY_USER), at=14)
    assert told(over("cancelled"), at=17)["cancel_seconds",] == 3
    assert told.state.ending == CREATED + 14


def test_a_log_that_did_not_arrive_whole_is_counted_with_what_is_missing() -> None:
    told = began()
    told(step())
    told(STARTED)
    counts = told(over("failed", log_complete=False, gap_bytes=7))
    assert (counts["logs_incomplete",], counts["log_gap_bytes",]) == (1, 7)


def test_an_early_warning_is_counted_by_its_kind() -> None:
    told = began()
    told(step())
    warned = ev.AttemptWarned(step="train", attempt=f"{RUN}-train-1", kind="plateau", text="")
    assert told(warned) == {("attempt_warnings", "plateau"): 1}


def test_clocks_that_differ_make_no_time_negative() -> None:
    told = began()
    told(step(), at=100)
    told(progressed(Stage.STARTING), at=101)
    counts = told(over(seconds=5.0, exited=CREATED + 90), at=80)
    assert min(amount for (name, *_), amount in counts.items() if name.endswith("seconds")) == 0


def test_a_retry_in_the_same_breath_counts_beside_the_end_it_follows() -> None:
    told = began()
    told(step())
    again = submitted("train", 2).model_copy(update={"pool": "spot", "cause": "infrastructure"})
    counts = told(over("lost"), again)
    assert counts["attempts_ended", "a100", "lost"] == 1
    assert counts["steps_submitted", "spot", "infrastructure"] == 1


def test_an_attempt_of_before_there_were_entries_of_stages_counts_none() -> None:
    """A state that an older version wrote has no time at which its stage began."""
    told = began()
    told(step(), at=10)
    told(progressed(Stage.QUEUED), at=11)
    train = told.state.steps["train"]
    older = train.model_copy(update={"attempts": (train.last.model_copy(update={"entered": None}),)})
    told.state = told.state.model_copy(update={"steps": {"train": older}})
    assert told(progressed(Stage.PULLING), at=20) == {}
    assert told(progressed(Stage.STARTING), at=25) == {("attempt_stage_seconds", "a100", "pulling"): 5}


def test_the_table_is_of_events_that_there_are() -> None:
    assert set(TABLE) <= set(ev.KINDS.values())


def test_the_time_of_a_stage_is_part_of_the_fold() -> None:
    told = began()
    told(step(), at=10)
    told(progressed(Stage.QUEUED), at=12)
    assert told.state.steps["train"].last.entered == CREATED + 10
    event = ev.Event(RUN, told.state.seq + 1, CREATED + 30, 0, progressed(Stage.PULLING))
    assert fold(told.state, event).steps["train"].last.entered == CREATED + 30
