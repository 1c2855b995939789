"""Trying again what the platform lost: the same work, so many times, if it can be paid."""

from typing import Any

import pytest

from services.core import events as ev
from services.core.lifecycle import Status
from services.core.pools import Pools
from services.core.records import Diagnosis, Limits, RunState, Spend, Step
from services.core.resources import Resources
from services.core.taxonomy import Failure, Owner
from services.worker.controller.retries import has_another_pool, next_pool, retry_of
from tests.core.examples import finished as ended
from tests.worker.states import attempt, state_of


def tried(*causes: str) -> Step:
    """A step whose earlier attempts were lost and whose last is live, each with its cause."""
    last = len(causes)
    return Step(
        name="train",
        attempts=tuple(
            attempt(number, "running" if number == last else "lost", cause=cause)
            for number, cause in enumerate(causes, 1)
        ),
    )


def retried(
    step: Step, outcome: str = "lost", price: float = 0.0, checkpoint: str = "", **changes: Any
) -> ev.StepSubmitted | None:
    state: RunState = state_of(**{"steps": {"train": step}, **changes})
    finished = ev.AttemptFinished.model_validate(
        {
            "step": "train",
            "attempt": step.last.id,
            "outcome": outcome,
            "reason": "the node is gone",
            "seconds": 360.0,
            "cost_usd": price / 10,
            "log_bytes": 0,
            "log_complete": False,
            "checkpoint": checkpoint,
        }
    )
    return retry_of(state, step.last, finished, Pools.local(price))


def test_it_is_the_same_work_under_the_next_number() -> None:
    step = Step(name="train", attempts=(attempt(1, uses=("data",), env={"SEED": "1"}, memory_bytes=2**30),))

    retry = retried(step, price=1.0)

    assert retry is not None
    assert (retry.attempt, retry.number, retry.cause) == ("r000000000001-train-2", 2, "infrastructure")
    assert (retry.command, retry.uses, retry.env, retry.memory_bytes) == (
        "python train.py",
        ["data"],
        {"SEED": "1"},
        2**30,
    )
    # Ten minutes at a dollar an hour.
    assert retry.reserved_microdollars == 166_667


@pytest.mark.parametrize(
    ("left", "began_with", "expected"), [("c2", "c1", "c2"), ("", "c1", "c1"), ("c2", "", "c2"), ("", "", "")]
)
def test_it_goes_on_from_the_newest_checkpoint(left: str, began_with: str, expected: str) -> None:
    step = Step(name="train", attempts=(attempt(1, restores=began_with),))
    retry = retried(step, checkpoint=left)
    assert retry is not None
    assert retry.restores == expected


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
def test_only_what_was_lost_is_tried_again(outcome: str) -> None:
    assert retried(tried("agent"), outcome) is None


@pytest.mark.parametrize(
    ("causes", "again"),
    [
        (["agent"], True),
        (["agent", "infrastructure"], True),
        (["agent", "infrastructure", "infrastructure"], True),
        (["agent", "infrastructure", "infrastructure", "infrastructure"], False),
        (["agent", "infrastructure", "infrastructure", "infrastructure", "agent"], True),
        (["agent", "agent", "agent", "agent", "agent"], True),
    ],
)
def test_three_times_since_the_agent_asked(causes: list[str], again: bool) -> None:
    assert (retried(tried(*causes)) is not None) is again


@pytest.mark.parametrize("status", [Status.CANCELLING, Status.SUCCEEDED])
def test_not_for_a_run_that_ends(status: Status) -> None:
    assert retried(tried("agent"), status=status) is None


def test_not_for_a_step_that_is_cancelled() -> None:
    assert retried(tried("agent").model_copy(update={"cancelling": True})) is None


@pytest.mark.parametrize(
    ("dollars", "spent", "held", "again"),
    [(1.0, 0, {}, True), (0.26, 0, {}, False), (1.0, 800_000, {}, False), (1.0, 0, {"other": 800_000}, False)],
)
def test_not_beyond_what_the_run_may_spend(dollars: float, spent: int, held: dict[str, int], again: bool) -> None:
    step = tried("agent")
    # What the lost attempt held is free again.
    spend = Spend(microdollars=spent, holds={**held, step.last.id: 166_667})

    retry = retried(step, price=1.0, limits=Limits(dollars=dollars), spend=spend)

    assert (retry is not None) is again


TWO = Pools.read(
    {
        "pools": [
            {"name": "spot", "gpus_per_node": 8, "price_per_hour": 1, "spot": True},
            {"name": "firm", "gpus_per_node": 8, "price_per_hour": 3},
            {"name": "cpu"},
        ]
    }
)
FULL = Diagnosis(failure=Failure.UNSCHEDULABLE, owner=Owner.PLATFORM, code="no_capacity", summary="no room")


@pytest.mark.parametrize(
    ("tried", "diagnosis", "pool"),
    [
        (["spot"], None, "spot"),
        (["spot"], FULL, "firm"),
        (["spot", "firm"], FULL, "spot"),
        (["gone"], None, "spot"),
    ],
)
def test_work_that_found_no_room_goes_to_the_next_pool_that_fits(
    tried: list[str], diagnosis: Diagnosis | None, pool: str
) -> None:
    attempts = [attempt(n, pool=name, resources=Resources(gpus=2)) for n, name in enumerate(tried, start=1)]
    before = tuple(one.model_copy(update={"diagnosis": FULL}) for one in attempts[:-1])
    step = Step(name="train", attempts=(*before, attempts[-1]))
    finished = ended("train", len(tried), "lost").model_copy(update={"diagnosis": diagnosis})

    assert next_pool(step, step.last, finished, TWO).name == pool


@pytest.mark.parametrize(
    ("pools", "gpus", "full", "moves"),
    [((), 2, [], True), ((), 2, ["firm"], False), (("spot",), 2, [], False), (("spot", "firm"), 2, [], True)],
)
def test_work_waits_where_it_is_once_every_other_pool_was_full(
    pools: tuple[str, ...], gpus: int, full: list[str], moves: bool
) -> None:
    needs = Resources(gpus=gpus, pools=pools)
    before = [attempt(n, "lost", pool=name, resources=needs, diagnosis=FULL) for n, name in enumerate(full, start=1)]
    last = attempt(len(full) + 1, pool="spot", resources=needs)

    assert has_another_pool(Step(name="train", attempts=(*before, last)), last, TWO) is moves
