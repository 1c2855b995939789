"""A provider that refuses, breaks off, hangs or talks rubbish: each ends well, or ends with its own reason."""

from itertools import pairwise
from pathlib import Path

import pytest

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.records import Limits
from tests.worker.conftest import Moments, OpenWorkshop
from tests.worker.workshop import Workshop


def failures(workshop: Workshop, run: str) -> list[str]:
    return [failed.failure for failed in workshop.events(run, ev.LlmFailed)]


@pytest.mark.parametrize(
    ("story", "failure", "times"),
    [
        ("shaky", "overloaded", 3),
        ("closes", "connection", 1),
        ("rubbish-twice", "rubbish", 2),
        ("empty", "rubbish", 2),
    ],
)
def test_what_passes_is_waited_for_and_costs_no_turn(workshop: Workshop, story: str, failure: str, times: int) -> None:
    run = workshop.accept(story)

    state = workshop.drive(run)

    assert (state.status, state.turn, state.model_failures) == (Status.SUCCEEDED, 2, 0)
    assert failures(workshop, run) == [failure] * times
    assert state.spend.calls == 2 + times


@pytest.mark.parametrize(
    ("story", "reason", "exit_code", "calls"),
    [
        ("unauthorised", Reason.MODEL_AUTH, 1, 1),
        ("forbidden", Reason.MODEL_AUTH, 1, 1),
        ("unpaid", Reason.MODEL_CREDIT, 6, 1),
        ("unknown", Reason.MODEL_REFUSED, 1, 1),
        ("too-long", Reason.CONTEXT_EXCEEDED, 1, 1),
        ("rubbish", Reason.MODEL_RUBBISH, 1, 3),
        ("away", Reason.MODEL_UNAVAILABLE, 3, 8),
    ],
)
def test_what_does_not_pass_ends_the_run_with_its_reason(
    workshop: Workshop, story: str, reason: Reason, exit_code: int, calls: int
) -> None:
    run = workshop.accept(story)

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code) == (Status.FAILED, reason, exit_code)
    assert state.spend.calls == calls
    assert workshop.path_of(run)[-2:] == [Status.CANCELLING, Status.FAILED]
    assert state.detail
    assert workshop.events(run, ev.ErrorRaised)[0].error == state.detail


def test_a_model_nobody_serves_is_refused_and_a_server_nobody_runs_is_unavailable(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(model_base_url="http://127.0.0.1:9/v1", price_prompt=1.0, price_completion=1.0)
    run = workshop.accept("hello")

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code) == (Status.FAILED, Reason.MODEL_UNAVAILABLE, 3)
    assert failures(workshop, run) == ["unreachable"] * 8
    # Nothing was sent, so nothing is charged.
    assert state.spend.microdollars == 0


def test_a_provider_that_asks_to_wait_is_waited_for_without_a_slot(workshop: Workshop) -> None:
    run = workshop.accept("limited")

    assert workshop.advance(run) == "waiting"

    state = workshop.state(run)
    assert (state.reason, state.detail) == (Reason.WAITING_FOR_MODEL, "rate_limited")
    assert state.wait is not None and state.wait.kind == "model"
    [failed] = workshop.events(run, ev.LlmFailed)
    assert 0.4 <= failed.retry_in_seconds <= 0.44
    assert (failed.cost_usd, workshop.keeper.count()) == (0.0, 0)
    assert workshop.advance(run) == "idle"
    assert workshop.drive(run).status is Status.SUCCEEDED
    times = [event.time for event in workshop.store.events(run) if event.event_type == "llm_request"]
    assert all(later - earlier >= 0.4 for earlier, later in pairwise(times[:3]))


def test_a_message_does_not_cut_short_what_the_provider_asked_for(workshop: Workshop) -> None:
    run = workshop.accept("limited")
    workshop.advance(run)
    workshop.say(run, "Hurry.")

    state = workshop.drive(run)

    assert state.status is Status.SUCCEEDED
    times = [event.time for event in workshop.store.events(run) if event.event_type == "llm_request"]
    assert all(later - earlier >= 0.4 for earlier, later in pairwise(times[:3]))


def test_a_model_that_never_answers_is_given_up_in_time_and_asked_again(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(model_first_byte_seconds=0.5)
    run = workshop.accept("hangs")

    assert workshop.drive(run).status is Status.SUCCEEDED
    assert "timeout" in failures(workshop, run)


def test_a_model_that_stops_in_the_middle_is_given_up_in_time(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(model_idle_seconds=1.0)
    run = workshop.accept("stalls")

    assert workshop.drive(run).status is Status.SUCCEEDED
    assert failures(workshop, run) == ["timeout"]


@pytest.mark.parametrize("story", ["closes", "stalls"])
def test_half_a_reply_is_never_part_of_the_history(open_workshop: OpenWorkshop, story: str) -> None:
    workshop = open_workshop(model_idle_seconds=1.0)
    run = workshop.accept(story)
    workshop.drive(run)

    history = workshop.history(run)

    assert [message["role"] for message in history] == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert history[2]["content"] == "I begin with a plan."
    assert len(workshop.events(run, ev.ToolCall)) == 2


def test_a_call_that_broke_off_is_charged_at_what_it_could_have_cost(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(price_prompt=1.0, price_completion=1.0, model_max_tokens=100)
    run = workshop.accept("closes")

    state = workshop.drive(run)

    [failed] = workshop.events(run, ev.LlmFailed)
    requests = workshop.events(run, ev.LlmRequest)
    assert round(failed.cost_usd * 1e6) == requests[0].reserved_microdollars > 0
    assert state.spend.holds == {}


@pytest.mark.parametrize(
    ("story", "answer"),
    [
        ("unfinished", "error: the arguments are no JSON object, so nothing was done; they begin: "),
        ("listed", "error: the arguments are no JSON object, so nothing was done; they begin: [1, 2]"),
    ],
)
def test_malformed_arguments_are_answered_and_survived(workshop: Workshop, story: str, answer: str) -> None:
    run = workshop.accept(story)

    assert workshop.drive(run).status is Status.SUCCEEDED
    assert workshop.answers(run)[0].startswith(answer)


def test_a_reply_cut_for_its_length_is_asked_for_again(workshop: Workshop) -> None:
    run = workshop.accept("cut")

    state = workshop.drive(run)

    assert (state.status, state.turn) == (Status.SUCCEEDED, 3)
    assert [message["role"] for message in workshop.history(run)][:4] == ["system", "user", "assistant", "user"]
    assert "cut off at the length limit" in workshop.history(run)[3]["content"]


# --- What is asked otherwise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("story", "failure", "times"), [("unknown", "no_model", 1), ("away", "overloaded", 8)])
def test_the_goals_other_model_takes_over(workshop: Workshop, story: str, failure: str, times: int) -> None:
    run = workshop.accept(story, fallback_model="scripted/hello")

    state = workshop.drive(run)

    assert (state.status, state.model, state.fallback_model) == (Status.SUCCEEDED, "scripted/hello", "")
    assert failures(workshop, run) == [failure] * times
    [changed] = workshop.events(run, ev.ModelChanged)
    assert (changed.source, changed.target) == (f"scripted/{story}", "scripted/hello")
    assert [call.model for call in workshop.events(run, ev.LlmCall)] == ["scripted/hello"] * 2


def test_the_other_model_has_no_other_after_it(workshop: Workshop) -> None:
    run = workshop.accept("unknown", fallback_model="scripted/unknown-too")

    state = workshop.drive(run)

    assert (state.status, state.reason) == (Status.FAILED, Reason.MODEL_REFUSED)
    assert failures(workshop, run) == ["no_model"] * 2


def test_the_last_turn_may_be_the_other_models(workshop: Workshop) -> None:
    run = workshop.accept("unknown", fallback_model="scripted/hello", limits=Limits(turns=2))

    assert workshop.drive(run).status is Status.SUCCEEDED


def test_an_effort_that_is_refused_is_dropped_and_the_call_made_again(workshop: Workshop) -> None:
    run = workshop.accept("fussy", effort="high")

    state = workshop.drive(run)

    assert (state.status, state.effort, failures(workshop, run)) == (Status.SUCCEEDED, "", ["refused"])
    [dropped] = workshop.events(run, ev.EffortDropped)
    assert (dropped.effort, dropped.model) == ("high", "scripted/fussy")


@pytest.mark.parametrize(("effort", "calls"), [("high", 2), ("", 1)])
def test_a_request_that_is_refused_without_an_effort_too_ends_the_run(
    workshop: Workshop, effort: str, calls: int
) -> None:
    run = workshop.accept("stubborn", effort=effort)

    state = workshop.drive(run)

    assert (state.status, state.reason, state.spend.calls) == (Status.FAILED, Reason.MODEL_REFUSED, calls)


# --- Workers that die in a call ---------------------------------------------------------------------------------------


def test_a_call_whose_worker_died_is_charged_and_made_again(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(price_prompt=1.0, price_completion=1.0, model_max_tokens=100)
    run = workshop.accept("hello")
    workshop.die_in_a_call(run)

    state = workshop.drive(run)

    assert (state.status, state.turn) == (Status.SUCCEEDED, 2)
    assert failures(workshop, run) == ["unknown_outcome"]
    assert workshop.events(run, ev.LlmFailed)[0].cost_usd == 0.00005
    assert workshop.ledger.account("acme")[:2] == (state.spend.microdollars, 0)


def test_a_run_whose_every_call_kills_its_worker_ends(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    for _ in range(8):
        workshop.die_in_a_call(run)

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code) == (Status.FAILED, Reason.MODEL_UNAVAILABLE, 3)
    assert state.spend.calls == 8


def test_an_artifact_store_that_is_away_is_waited_out(workshop: Workshop, moments: Moments, tmp_path: Path) -> None:
    store, away = tmp_path / "artifacts", tmp_path / "away"

    def lose() -> None:
        store.rename(away)
        store.write_text("no directory")

    run = workshop.accept("big")
    moments.once("worker.model_replied", lose)
    for _ in range(7):
        # It comes to nothing each time, and is no strike against the run.
        assert workshop.advance(run) == "running"
    store.unlink()
    away.rename(store)

    assert workshop.drive(run).status is Status.SUCCEEDED
    assert workshop.workspace.read(workshop.state(run).snapshot, "big.txt") == b"x" * 20_000


def test_a_run_cancelled_after_its_worker_died_in_a_call_is_charged_too(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(price_prompt=1.0, price_completion=1.0)
    run = workshop.accept("hello")
    workshop.die_in_a_call(run)
    workshop.cancel(run)

    state = workshop.drive(run)

    assert (state.status, state.spend.microdollars, state.spend.holds) == (Status.CANCELLED, 50, {})
    assert workshop.ledger.account("acme")[:2] == (50, 0)
