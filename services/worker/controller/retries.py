"""Trying again what the platform lost. Pure: the run and the lost attempt in, the next attempt out."""

from itertools import takewhile

from services.core import events as ev
from services.core.keys import attempt_id
from services.core.placement import Placement, choose
from services.core.pools import Pool, Pools, microdollars
from services.core.records import MICRODOLLARS, Attempt, Diagnosis, RunState, Step
from services.core.sandboxes import SANDBOX
from services.core.taxonomy import Failure
from services.worker.controller.verdict import is_wanted

INFRASTRUCTURE_RETRIES = 3


def retry_of(state: RunState, attempt: Attempt, finished: ev.AttemptFinished, pools: Pools) -> ev.StepSubmitted | None:
    """The same work again from its newest checkpoint, where the platform lost it, and has not tried too often since the
    agent asked for it, and the run can pay for it."""
    step = state.steps[finished.step]
    # A sandbox is made again where a command needs one.
    if step.name == SANDBOX or finished.outcome != "lost" or not is_wanted(state, attempt):
        return None
    tried = takewhile(lambda one: one.cause == "infrastructure", reversed(step.attempts))
    if len(list(tried)) >= INFRASTRUCTURE_RETRIES:
        return None
    pool = next_pool(step, attempt, finished, pools)
    cost = microdollars(pool.price_per_hour, attempt.resources, attempt.deadline_seconds)
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
        pool=pool.name,
        price_per_hour=pool.price_per_hour,
        reserved_microdollars=cost,
        cause="infrastructure",
        restores=finished.checkpoint or attempt.restores,
        secrets=attempt.secrets,
        smoke=attempt.smoke,
        evaluates=attempt.evaluates,
    )


def next_pool(step: Step, attempt: Attempt, finished: ev.AttemptFinished, pools: Pools) -> Pool:
    """Where the work goes next: the same pool, or where that had no room the next one that fits. When all of them had
    none it begins again with the first. A pool that is in the file no more is left, if there is another."""
    same = pools.named(attempt.pool) or pools.pools[0]
    full = {one.pool for one in step.attempts if had_no_room(one.diagnosis)}
    if had_no_room(finished.diagnosis):
        full.add(attempt.pool)
    elif attempt.pool == same.name:
        return same
    for excluded in (full, set[str]()):
        choice = choose(pools, attempt.resources, excluded)
        if isinstance(choice, Placement):
            return choice.pool
    return same


def has_another_pool(step: Step, attempt: Attempt, pools: Pools) -> bool:
    """Whether the work fits a pool that it has not found full yet. Without one it waits where it is."""
    tried = {attempt.pool, *(one.pool for one in step.attempts if had_no_room(one.diagnosis))}
    return isinstance(choose(pools, attempt.resources, tried), Placement)


def had_no_room(diagnosis: Diagnosis | None) -> bool:
    """The attempt ended for lack of capacity in its pool, not by a fault of anything."""
    return diagnosis is not None and diagnosis.failure is Failure.UNSCHEDULABLE


def _can_pay(state: RunState, over: Attempt, microdollars: int) -> bool:
    """Whether the run's cap leaves so much, once what was held for the attempt that is over is free."""
    if state.limits.dollars is None:
        return True
    held = state.spend.reserved_microdollars - state.spend.holds.get(over.id, 0)
    return state.spend.microdollars + held + microdollars <= state.limits.dollars * MICRODOLLARS
