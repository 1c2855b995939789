"""Clearing away executions that no run counts on any more: those of closed attempts, and those nobody knows.

The only copy of a log that did not arrive whole is kept. What belongs to a run that the store has never heard of gets a
grace: whoever points a controller at the wrong store should have time to notice.
"""

import time
from collections.abc import Collection, Iterator
from enum import Enum, auto

import structlog

from services.core.attempts import AttemptRecord, AttemptStore
from services.core.errors import NewerRecord, RunNotFound
from services.core.faults import reach
from services.core.keys import run_of_attempt, step_of_attempt
from services.core.store import RunStore
from services.worker.controller.metrics import CLOSED, UNKNOWN, ControllerMetrics
from services.worker.controller.ranks import as_one
from services.worker.executors import AttemptBusy, Executor, Observed, Phase

log = structlog.get_logger()


class Fate(Enum):
    """What becomes of an execution that no run counts on."""

    LEAVE = auto()
    CANCEL = auto()
    FORGET = auto()


def fate_of(seen: Observed, record: AttemptRecord, unknown_seconds: float | None, grace_seconds: float) -> Fate:
    """`unknown_seconds`: for how long it has been seen without a run in the store, None where there is its run."""
    is_unknown = unknown_seconds is not None
    if unknown_seconds is not None and unknown_seconds < grace_seconds:
        return Fate.LEAVE
    if seen.phase in {Phase.UNKNOWN, Phase.ABSENT}:
        return Fate.LEAVE
    if not seen.phase.is_over:
        return Fate.CANCEL
    has_nothing_to_lose = record.log_complete or (seen.exit is not None and not seen.exit.bytes)
    return Fate.FORGET if is_unknown or has_nothing_to_lose else Fate.LEAVE


class Clearing:
    """Looks through everything the executor has. `grace_seconds` is for executions without a run."""

    def __init__(
        self,
        store: RunStore,
        attempts: AttemptStore,
        executor: Executor,
        grace_seconds: float,
        metrics: ControllerMetrics,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._attempts = attempts
        self._executor = executor
        self._grace_seconds = grace_seconds
        self._unknown_since: dict[str, float] = {}
        self._ended: set[str] = set()

    def round(self, live: Collection[str]) -> Iterator[None]:
        """One look at everything, an execution a step. `live`: the attempts known to be counted on, as of late. Raises
        `StoreUnavailable`."""
        there = [name for name in self._executor.list() if name not in live]
        leftovers = [name for name in there if not self._attempts.is_live(name)]
        unknown = {name for name in leftovers if not self._has_run(name)}
        now = time.monotonic()
        self._unknown_since = {name: self._unknown_since.get(name, now) for name in unknown}
        self._ended.intersection_update(leftovers)
        for name in leftovers:
            try:
                self._settle(name, None if name not in unknown else now - self._unknown_since[name])
            except NewerRecord as error:
                log.warning("attempt_left_to_newer_version", attempt=name, error=str(error))
            yield

    def _settle(self, attempt: str, unknown_seconds: float | None) -> None:
        seen = self._executor.inspect(attempt)
        record = as_one(self._attempts.records(attempt, self._nodes(attempt)), seen)
        match fate_of(seen, record, unknown_seconds, self._grace_seconds):
            case Fate.CANCEL:
                self._end(attempt, UNKNOWN if unknown_seconds is not None else CLOSED)
            case Fate.FORGET:
                self._forget(attempt, is_unknown=unknown_seconds is not None)
            case Fate.LEAVE:
                pass

    def _nodes(self, attempt: str) -> int:
        try:
            step = self._store.state(run_of_attempt(attempt)).steps.get(step_of_attempt(attempt))
        except RunNotFound:
            return 1
        return next((one.resources.nodes for one in (step.attempts if step else ()) if one.id == attempt), 1)

    def _has_run(self, attempt: str) -> bool:
        return self._store.status(run_of_attempt(attempt)) is not None

    def _end(self, attempt: str, kind: str) -> None:
        self._executor.cancel(attempt)
        self._count(attempt, kind)

    def _count(self, attempt: str, kind: str) -> None:
        """One orphan more, however often it is seen to."""
        if attempt not in self._ended:
            self._ended.add(attempt)
            self._metrics.orphans.labels(kind).inc()

    def _forget(self, attempt: str, *, is_unknown: bool) -> None:
        try:
            self._executor.remove(attempt)
        except AttemptBusy:
            # Its sidecar is about to end; the next round finds it again.
            log.debug("attempt_not_settled", attempt=attempt)
        else:
            if is_unknown:
                self._count(attempt, UNKNOWN)
            log.info("attempt_forgotten", attempt=attempt)
            reach("controller.forgotten")
