"""When a parked run goes on."""

import math
from typing import Literal

import pytest

from services.core import events as ev
from services.core.lifecycle import Status
from services.core.records import RunState, Wait
from services.core.waiting import is_satisfied, wake_delay, wake_up
from tests.core.examples import (
    CREATED,
    finished,
    message,
    moved,
    parked,
    research_finished,
    research_started,
    running,
    state_after,
    submitted,
)

R, W, H, C = Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN, Status.CANCELLING
NOW = CREATED + 100
DAY = 24 * 3600.0


def waits(*steps: str, mode: Literal["any", "all"] = "all", until: float | None = None) -> tuple[ev.EventData, ...]:
    return (parked(*steps, mode=mode, until=until), moved(R, W))


@pytest.mark.parametrize(
    ("log", "mode", "satisfied"),
    [
        ((submitted("a"), submitted("b")), "all", False),
        ((submitted("a"), submitted("b"), finished("a")), "all", False),
        ((submitted("a"), submitted("b"), finished("a")), "any", True),
        ((submitted("a"), submitted("b"), finished("a"), finished("b", outcome="failed")), "all", True),
        ((submitted("a"), finished("a"), submitted("a", 2), submitted("b"), finished("b")), "all", False),
        ((), "all", True),
    ],
)
def test_a_wait_for_steps_ends_when_all_or_any_of_them_are_over(
    log: tuple[ev.EventData, ...], mode: Literal["any", "all"], satisfied: bool
) -> None:
    assert is_satisfied(Wait(kind="steps", steps=("a", "b"), mode=mode), running(*log)) is satisfied


BOTH = Wait(kind="steps", steps=("a",), researches=("r1", "r2"))
RESEARCHES = Wait(kind="research", researches=("r1", "r2"))


@pytest.mark.parametrize(
    ("log", "wait", "satisfied"),
    [
        ((), RESEARCHES, False),
        ((research_finished("r1"),), RESEARCHES, False),
        ((research_finished("r1"), research_finished("r2")), RESEARCHES, True),
        ((finished("a"),), RESEARCHES, False),
        ((), BOTH, False),
        ((research_finished("r1"), research_finished("r2")), BOTH, True),
        ((finished("a"),), BOTH, True),
    ],
)
def test_a_wait_ends_with_all_researches_or_with_the_steps_beside_them(
    log: tuple[ev.EventData, ...], wait: Wait, satisfied: bool
) -> None:
    begun = (submitted("a"), research_started("r1"), research_started("r2"))
    assert is_satisfied(wait, running(*begun, *log)) is satisfied


@pytest.mark.parametrize("kind", ["model", "message"])
def test_steps_do_not_end_a_wait_for_something_else(kind: Literal["model", "message"]) -> None:
    assert not is_satisfied(Wait(kind=kind), running(submitted("a"), finished("a")))


def warned(step: str) -> ev.AttemptWarned:
    return ev.AttemptWarned(step=step, attempt=f"r-{step}-1", kind="divergence", text="loss went up")


def test_a_warning_wakes_a_run_that_waits_for_the_step_and_no_other() -> None:
    state = running(submitted("a"), submitted("b"), *waits("a"))
    move = wake_up(state, warned("a"))
    assert move is not None
    assert (move.source, move.target, move.detail) == (W, R, "a warning came: divergence")
    assert wake_up(state, warned("b")) is None
    assert wake_up(running(submitted("a")), warned("a")) is None


@pytest.mark.parametrize("parked_in", [W, H])
def test_a_message_wakes_a_parked_run_whatever_it_waits_for(parked_in: Status) -> None:
    state = running(submitted("a"), parked("a"), moved(R, parked_in))
    move = wake_up(state, message())
    assert move is not None
    assert (move.source, move.target) == (parked_in, R)


@pytest.mark.parametrize(
    "state",
    [
        state_after(),
        running(),
        running(submitted("a"), finished("a")),
        running(submitted("a"), *waits("a")),
        running(submitted("a"), parked("a"), finished("a"), moved(R, H)),
        running(moved(R, C)),
    ],
    ids=["queued", "running", "running with a step over", "step live", "needs human", "cancelling"],
)
def test_a_run_without_a_fulfilled_wait_is_not_woken(state: RunState) -> None:
    assert wake_up(state) is None


def test_a_message_wakes_nobody_who_is_awake() -> None:
    for state in (state_after(), running(), running(moved(R, C))):
        assert wake_up(state, message()) is None


def test_the_end_of_the_last_step_wakes_a_waiting_run() -> None:
    move = wake_up(running(submitted("a"), *waits("a"), finished("a")))
    assert move is not None
    assert move.target is R


PARKED_UNTIL_NOON = running(submitted("a"), *waits("a", until=NOW + 40))
FOR_EVER = running(submitted("a"), *waits("a"))
OVER = running(moved(R, C), moved(C, Status.CANCELLED))


@pytest.mark.parametrize(
    ("before", "after", "delay"),
    [
        (running(), running(), None),
        (state_after(), running(), 0.0),
        (running(), PARKED_UNTIL_NOON, 40.0),
        (running(), FOR_EVER, DAY - 100),
        (PARKED_UNTIL_NOON, PARKED_UNTIL_NOON, 40.0),
        (PARKED_UNTIL_NOON, running(), 0.0),
        (running(), running(moved(R, C)), 0.0),
        (running(moved(R, C)), running(moved(R, C)), 0.0),
        (running(moved(R, C)), OVER, math.inf),
        (OVER, OVER, math.inf),
    ],
    ids=[
        "nothing changed",
        "taken up",
        "parked until",
        "parked without an end of its own",
        "a fact that does not wake",
        "woken",
        "cancelled",
        "a fact while cancelling",
        "over",
        "a fact after the end",
    ],
)
def test_a_run_is_looked_at_when_something_can_be_done(before: RunState, after: RunState, delay: float | None) -> None:
    assert wake_delay(before, after, NOW) == delay


def test_no_wait_outlasts_the_run() -> None:
    state = running(submitted("a"), *waits("a", until=NOW + 10 * DAY))
    assert wake_delay(running(), state, NOW) == state.ends_at - NOW


def test_what_should_have_ended_already_is_looked_at_now() -> None:
    assert wake_delay(running(), running(submitted("a"), *waits("a", until=NOW - 1)), NOW) == 0.0
