"""What to do next with a run: every rule, and which one comes first."""

from collections.abc import Sequence

import pytest

from services.core.lifecycle import Reason, Status
from services.core.records import Limits, RunState, Wait
from services.core.store import Talk
from services.worker.decisions import (
    Action,
    Answer,
    Ask,
    AskHuman,
    Begin,
    End,
    Leave,
    Nudge,
    Resume,
    Settle,
    WindUp,
    Yield,
    limit_reached,
    next_action,
)
from tests.worker.states import (
    CREATED,
    answered,
    open_call,
    pending_call,
    replied,
    said,
    spend_of,
    state_of,
    step_of,
    steps_of,
    told,
)

NOW = CREATED + 60
LIVE = steps_of(step_of("running"))
EXHAUSTED = steps_of(step_of(*["failed"] * 5))
TEXT_ONLY = (replied(1, "What now?"),)
WORDS = tuple(entry for turn in (1, 2, 3) for entry in (replied(turn, "What now?"), told(turn)))[:-1]
TOO_LATE = CREATED + Limits().minutes * 60


def decided(
    state: RunState, talk: Sequence[Talk] = (), now: float = NOW, strikes: int = 0, slice_is_over: bool = False
) -> Action:
    return next_action(state, talk, now, strikes, slice_is_over)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (state_of(Status.QUEUED), Begin()),
        (state_of(Status.WAITING), Resume()),
        (state_of(Status.NEEDS_HUMAN), Leave(TOO_LATE - NOW)),
        (state_of(Status.CANCELLING), End()),
        (state_of(Status.CANCELLING, steps=LIVE), Leave(2.0)),
        (state_of(Status.CANCELLING, steps=steps_of(step_of("cancelled"))), End()),
        (state_of(), Ask()),
        (state_of(steps=LIVE), Ask()),
        (state_of(open_calls=(open_call(),)), Answer()),
        (state_of(model_call=pending_call()), Settle()),
    ],
)
def test_what_a_run_needs_follows_from_its_state(state: RunState, expected: Action) -> None:
    assert decided(state) == expected


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN])
def test_a_run_whose_time_is_up_is_wound_up_wherever_it_stands(status: Status) -> None:
    action = decided(state_of(status), now=TOO_LATE)

    assert isinstance(action, WindUp)
    assert action.reason is Reason.DEADLINE


@pytest.mark.parametrize(
    ("deadline", "now", "is_up"),
    [
        (CREATED + 30, CREATED + 29.9, False),
        (CREATED + 30, CREATED + 30, True),
        (TOO_LATE + 1, TOO_LATE, True),
        (None, TOO_LATE - 0.1, False),
    ],
)
def test_time_is_up_at_the_earlier_of_deadline_and_minutes(deadline: float | None, now: float, is_up: bool) -> None:
    assert isinstance(decided(state_of(deadline=deadline), now=now), WindUp) is is_up


@pytest.mark.parametrize(("strikes", "ends"), [(0, False), (9, False), (10, True), (12, True)])
def test_a_run_that_kills_ten_workers_in_a_row_is_given_up(strikes: int, ends: bool) -> None:
    action = decided(state_of(), strikes=strikes)

    assert isinstance(action, WindUp) is ends
    assert not ends or action.reason is Reason.POISON


@pytest.mark.parametrize(
    ("state", "talk", "options", "expected"),
    [
        # A model call without an outcome is charged before anything follows it, the end included.
        (state_of(Status.CANCELLING, model_call=pending_call()), (), {}, Settle()),
        (state_of(Status.CANCELLING, model_call=pending_call(), steps=LIVE), (), {}, Settle()),
        (state_of(model_call=pending_call(), open_calls=(open_call(),)), (), {}, Settle()),
        (state_of(model_call=pending_call(), turn=300), (), {}, Settle()),
        # An end that has begun is not begun again.
        (state_of(Status.CANCELLING), (), {"now": TOO_LATE, "strikes": 9}, End()),
        # Open calls are answered before a limit ends the run: what they did is on record.
        (state_of(open_calls=(open_call(),), turn=300), (), {}, Answer()),
        (state_of(open_calls=(open_call(),), steps=EXHAUSTED), (), {}, Answer()),
        (state_of(open_calls=(open_call(),)), (), {"slice_is_over": True}, Answer()),
        # A slice that is over yields only where it would have asked.
        (state_of(), (), {"slice_is_over": True}, Yield()),
        (state_of(Status.QUEUED), (), {"slice_is_over": True}, Begin()),
        (state_of(), WORDS, {"slice_is_over": True}, AskHuman(Reason.ASKED, "What now?")),
    ],
)
def test_the_earlier_rule_wins(
    state: RunState, talk: Sequence[Talk], options: dict[str, float], expected: Action
) -> None:
    assert decided(state, talk, **options) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("talk", "expected"),
    [
        ((), Ask),
        (TEXT_ONLY, Nudge),
        ((*TEXT_ONLY, told(1)), Ask),
        ((*TEXT_ONLY, said(1)), Ask),
        ((said(0), *TEXT_ONLY), Nudge),
        ((*TEXT_ONLY, told(1), replied(2, "Done.")), Nudge),
        (WORDS, AskHuman),
        ((*WORDS, said(3)), Ask),
        ((replied(1, "", "read"), answered(1, 0)), Ask),
        ((replied(1), said(1)), Ask),
    ],
)
def test_text_alone_is_asked_about_twice_and_then_left_to_a_person(
    talk: Sequence[Talk], expected: type[Action]
) -> None:
    assert isinstance(decided(state_of(turn=1), talk), expected)


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (Wait(kind="model", until=NOW + 30), Leave(30.0)),
        (Wait(kind="model", until=NOW), Ask()),
        (Wait(kind="model", until=NOW - 30), Ask()),
        (Wait(kind="steps", steps=("train",), until=NOW + 30), Ask()),
        (Wait(kind="message"), Ask()),
    ],
)
def test_a_message_does_not_make_a_provider_be_asked_too_early(wait: Wait, expected: Action) -> None:
    assert decided(state_of(wait=wait, turn=1), (said(0),)) == expected


def test_a_step_that_used_up_its_attempts_needs_a_person() -> None:
    action = decided(state_of(steps=EXHAUSTED))

    assert isinstance(action, AskHuman)
    assert action.reason is Reason.ATTEMPTS_EXHAUSTED
    assert "train failed 5 times" in action.detail


@pytest.mark.parametrize(
    ("step", "forgiven", "limit", "needs_human"),
    [
        (step_of(*["failed"] * 4), 0, 5, False),
        (step_of(*["failed"] * 5), 5, 5, False),
        (step_of(*["failed"] * 10), 5, 5, True),
        (step_of("failed"), 0, 1, True),
        (step_of("lost", "lost", "lost", "lost", "lost"), 0, 1, False),
        (step_of("cancelled", "cancelled"), 0, 1, False),
        (step_of("failed", "succeeded"), 0, 2, False),
    ],
)
def test_only_failures_since_the_last_answer_count(step: object, forgiven: int, limit: int, needs_human: bool) -> None:
    state = state_of(steps={"train": step}, forgiven={"train": forgiven}, limits=Limits(attempts=limit))

    assert isinstance(decided(state), AskHuman) is needs_human


@pytest.mark.parametrize(
    ("limits", "changes", "reason"),
    [
        (Limits(turns=3), {"turn": 2}, None),
        (Limits(turns=3), {"turn": 3}, Reason.TURN_LIMIT),
        (Limits(turns=3), {"turn": 4}, Reason.TURN_LIMIT),
        # The third turn is not used up by a call that failed.
        (Limits(turns=3), {"turn": 3, "model_failures": 1}, None),
        (Limits(tokens=100), {"spend": spend_of(tokens=99)}, None),
        (Limits(tokens=100), {"spend": spend_of(tokens=100)}, Reason.TOKEN_LIMIT),
        (Limits(tokens=100), {"spend": spend_of(tokens=100), "model_failures": 1}, Reason.TOKEN_LIMIT),
        (Limits(dollars=1), {"spend": spend_of(dollars=0.999_999)}, None),
        (Limits(dollars=1), {"spend": spend_of(dollars=1)}, Reason.DOLLAR_LIMIT),
        (Limits(), {"turn": 299}, None),
        (Limits(), {"turn": 300}, Reason.TURN_LIMIT),
        (Limits(), {"spend": spend_of(tokens=10**9, dollars=10**6)}, None),
        (Limits(turns=1, tokens=1, dollars=1), {"turn": 1, "spend": spend_of(tokens=1, dollars=1)}, Reason.TURN_LIMIT),
    ],
)
def test_a_limit_forbids_the_next_turn_once_it_is_reached(
    limits: Limits, changes: dict[str, object], reason: Reason | None
) -> None:
    end = limit_reached(state_of(limits=limits, **changes))

    assert (end.reason if end else None) is reason


def test_a_limit_ends_a_run_that_would_otherwise_ask_a_person() -> None:
    action = decided(state_of(turn=1, limits=Limits(turns=1)), TEXT_ONLY)

    assert isinstance(action, WindUp)
    assert action.reason is Reason.TURN_LIMIT
