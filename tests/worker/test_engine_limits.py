"""What a run may use up: turns, tokens, dollars and time; and that spend is the sum of the log."""

import time

import pytest

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.records import MICRODOLLARS, Limits
from tests.worker.conftest import Moments, OpenWorkshop
from tests.worker.workshop import Workshop

DEAR = {"price_prompt": 3.0, "price_completion": 15.0, "price_cached": 0.3, "model_max_tokens": 200}


@pytest.mark.parametrize("turns", [1, 3, 10])
def test_a_run_takes_exactly_its_turns(workshop: Workshop, turns: int) -> None:
    run = workshop.accept("busy", limits=Limits(turns=turns))

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code) == (Status.OVER_LIMIT, Reason.TURN_LIMIT, 6)
    assert (state.turn, len(workshop.events(run, ev.LlmCall))) == (turns, turns)
    assert len(workshop.answers(run)) == turns


def test_the_last_turn_may_finish(workshop: Workshop) -> None:
    run = workshop.accept("ten", limits=Limits(turns=10))

    assert workshop.drive(run).status is Status.SUCCEEDED


def test_a_call_that_failed_does_not_use_up_the_last_turn(workshop: Workshop) -> None:
    run = workshop.accept("shaky", limits=Limits(turns=2))

    state = workshop.drive(run)

    assert (state.status, state.turn) == (Status.SUCCEEDED, 2)


def test_nothing_resets_the_turns(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(slice_turns=2)
    run = workshop.accept("busy", limits=Limits(turns=7))
    workshop.advance(run)
    workshop.say(run, "Go on.")
    workshop.die_after_claim(run)
    workshop.advance(run)
    workshop.die_in_a_call(run)

    state = workshop.drive(run)

    assert (state.reason, state.turn) == (Reason.TURN_LIMIT, 7)


def test_three_hundred_turns_are_the_default() -> None:
    assert Limits().turns == 300


def test_tokens_are_counted_over_all_calls(workshop: Workshop) -> None:
    run = workshop.accept("busy", limits=Limits(tokens=6_000))

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code) == (Status.OVER_LIMIT, Reason.TOKEN_LIMIT, 6)
    calls = workshop.events(run, ev.LlmCall)
    assert state.spend.tokens == sum(call.total_tokens for call in calls) >= 6_000
    assert sum(call.total_tokens for call in calls[:-1]) < 6_000


# --- Dollars ----------------------------------------------------------------------------------------------------------


def test_a_call_that_could_pass_the_cap_is_never_made(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(**DEAR)
    run = workshop.accept("busy", limits=Limits(dollars=0.05))

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code) == (Status.OVER_LIMIT, Reason.DOLLAR_LIMIT, 6)
    assert 0 < state.spend.microdollars <= 50_000
    assert state.turn > 2
    spent = 0
    for event in workshop.store.events(run, limit=10_000):
        match event.data:
            case ev.LlmRequest():
                assert spent + event.data.reserved_microdollars <= 50_000
            case ev.LlmCall():
                spent += round(event.data.cost_usd * MICRODOLLARS)


def test_a_reservation_covers_what_the_call_costs(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(**DEAR)
    run = workshop.accept("ten", goal="درّب نموذجًا 🙂 " * 300)
    workshop.drive(run)

    reserved = [request.reserved_microdollars for request in workshop.events(run, ev.LlmRequest)]
    costs = [round(call.cost_usd * MICRODOLLARS) for call in workshop.events(run, ev.LlmCall)]

    assert len(costs) == 10
    assert all(cost <= held for cost, held in zip(costs, reserved, strict=True))


def test_a_first_call_beyond_the_cap_ends_the_run_before_it_begins(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(**DEAR)
    run = workshop.accept("busy", limits=Limits(dollars=0.000_1))

    state = workshop.drive(run)

    assert (state.reason, state.turn, state.spend.calls) == (Reason.DOLLAR_LIMIT, 0, 0)
    assert "the next call could cost" in state.detail


def test_what_steps_hold_counts_against_the_cap_of_calls(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(**DEAR, local_price_per_hour=1.0)
    # The step alone holds ten cents; with them the next call would pass the cap.
    run = workshop.accept("trains", limits=Limits(dollars=0.115))

    state = workshop.drive(run, lambda state: state.status in {Status.CANCELLING, Status.WAITING})

    assert (state.status, state.reason) == (Status.CANCELLING, Reason.DOLLAR_LIMIT)
    assert state.live_attempts()


@pytest.mark.parametrize("story", ["busy", "hello"])
def test_a_model_of_unknown_price_is_refused_where_dollars_are_bounded(open_workshop: OpenWorkshop, story: str) -> None:
    workshop = open_workshop()
    limits = Limits(dollars=5) if story == "busy" else Limits()
    run = workshop.accept(story, limits=limits)
    model = f"openai/nobody-knows-{story}"
    priced = workshop.accept_as(model, limits=limits)
    workshop.ledger.set_cap("acme", 5.0)

    state = workshop.drive(priced)

    assert (state.status, state.reason, state.spend.calls) == (Status.FAILED, Reason.MODEL_REFUSED, 0)
    assert "nobody knows the price" in state.detail
    assert workshop.state(run).status is Status.QUEUED


def test_a_tenants_cap_holds_across_its_runs(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(**DEAR)
    workshop.ledger.set_cap("acme", 0.05)

    states = [workshop.drive(workshop.accept("ten")) for _ in range(4)]

    assert [state.status for state in states][-1] is Status.OVER_LIMIT
    assert states[-1].reason is Reason.TENANT_BUDGET
    assert states[-1].exit_code == 6
    spent, reserved, cap = workshop.ledger.account("acme")
    assert cap is not None
    assert spent == sum(state.spend.microdollars for state in states) <= cap
    assert reserved == 0


@pytest.mark.parametrize("story", ["hello", "shaky", "closes", "ten", "asks"])
def test_spend_is_the_sum_of_the_log(open_workshop: OpenWorkshop, story: str) -> None:
    workshop = open_workshop(**DEAR)
    run = workshop.accept(story)

    state = workshop.drive(run)

    calls = workshop.events(run, ev.LlmCall)
    paid = [*calls, *workshop.events(run, ev.LlmFailed)]
    assert state.spend.microdollars == sum(round(one.cost_usd * MICRODOLLARS) for one in paid) > 0
    assert state.spend.prompt_tokens == sum(call.prompt_tokens for call in calls)
    assert state.spend.cached_tokens == sum(call.cache_read_tokens for call in calls)
    assert state.spend.calls == len(paid)
    assert workshop.ledger.account("acme")[:2] == (state.spend.microdollars, 0)


# --- Time -------------------------------------------------------------------------------------------------------------


def test_a_run_whose_minutes_are_over_is_timed_out(workshop: Workshop) -> None:
    run = workshop.accept("hello", limits=Limits(minutes=0.000_01))

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code, state.turn) == (Status.TIMED_OUT, Reason.DEADLINE, 5, 0)


def test_a_deadline_wakes_a_run_that_waits_for_a_person(workshop: Workshop) -> None:
    run = workshop.accept("asks", deadline=time.time() + 2.0)
    assert workshop.drive(run).status is Status.NEEDS_HUMAN

    state = workshop.drive(run, lambda state: state.status.is_final)

    assert (state.status, state.reason) == (Status.TIMED_OUT, Reason.DEADLINE)


@pytest.mark.parametrize("story", ["sleeps", "dawdles"])
def test_a_deadline_interrupts_a_command_and_a_model_call(workshop: Workshop, story: str) -> None:
    run = workshop.accept(story, deadline=time.time() + 3.0)

    state = workshop.drive(run)

    assert (state.status, state.reason) == (Status.TIMED_OUT, Reason.DEADLINE)
    assert state.ended is not None and state.deadline is not None
    assert state.ended - state.deadline < 8


def test_a_run_out_of_time_waits_for_its_steps_to_stop(workshop: Workshop) -> None:
    run = workshop.accept("trains", deadline=time.time() + 2.0)
    state = workshop.drive(run, lambda state: state.status is Status.CANCELLING)
    [attempt] = state.live_attempts()
    assert workshop.advance(run) == "cancelling"

    workshop.close(attempt.id, "cancelled", exit_code=None, reason="cancelled")

    assert workshop.drive(run).status is Status.TIMED_OUT


def test_a_cancel_that_comes_with_the_end_changes_nothing(workshop: Workshop, moments: Moments) -> None:
    run = workshop.accept("busy", limits=Limits(turns=1))
    moments.once("worker.tool_recorded", lambda: workshop.cancel(run))

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code) == (Status.CANCELLED, Reason.CANCELLED_BY_USER, 4)
