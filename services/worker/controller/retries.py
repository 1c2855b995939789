"""Trying again what the platform lost. Pure: the run and the lost attempt in, the next attempt out."""

from itertools import takewhile

from services.core import events as ev
from services.core.keys import attempt_id
from services.core.records import MICRODOLLARS, Attempt, RunState
from services.worker.controller.verdict import is_wanted

INFRASTRUCTURE_RETRIES = 3


def retry_of(
    state: RunState, attempt: Attempt, finished: ev.AttemptFinished, price_per_hour: float
) -> ev.StepSubmitted | None:
    """The same work again from its newest checkpoint, where the platform lost it, and has not tried too often since the
    agent asked for it, and the run can pay for it."""
    step = state.steps[finished.step]
    if finished.outcome != "lost" or not is_wanted(state, attempt):
        return None
    tried = takewhile(lambda one: one.cause == "infrastructure", reversed(step.attempts))
    if len(list(tried)) >= INFRASTRUCTURE_RETRIES:
        return None
    cost = round(price_per_hour * attempt.deadline_seconds / 3600 * MICRODOLLARS)
    if not _can_pay(state, attempt, round(finished.cost_usd * MICRODOLLARS) + cost):
        return None
    number = attempt.number + 1
    return ev.StepSubmitted(
        step=step.name,
        attempt=attempt_id(state.run, step.name, number),
        number=number,
        command=attempt.command,
        snapshot=attempt.snapshot,
        uses=list(attempt.uses),
        env=attempt.env,
        deadline_seconds=attempt.deadline_seconds,
        resources=attempt.resources,
        pool=attempt.pool,
        price_per_hour=attempt.price_per_hour,
        reserved_microdollars=cost,
        cause="infrastructure",
        restores=finished.checkpoint or attempt.restores,
    )


def _can_pay(state: RunState, over: Attempt, microdollars: int) -> bool:
    """Whether the run's cap leaves so much, once what was held for the attempt that is over is free."""
    if state.limits.dollars is None:
        return True
    held = state.spend.reserved_microdollars - state.spend.holds.get(over.id, 0)
    return state.spend.microdollars + held + microdollars <= state.limits.dollars * MICRODOLLARS
