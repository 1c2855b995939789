"""How an attempt's end is told to its run. One that the platform lost is the platform's business: it is tried again
without a word to the agent, until that has failed too often.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from services.core import events as ev
from services.core.attempts import AttemptRecord
from services.core.errors import BudgetSpent
from services.core.faults import reach
from services.core.hints import Hints
from services.core.keys import run_of_attempt, step_of_attempt
from services.core.ledger import Ledger
from services.core.lifecycle import Status
from services.core.pools import Pools
from services.core.records import MICRODOLLARS, Attempt, RunState
from services.core.store import Draft, RunStore
from services.worker.controller import ranks, verdict as do
from services.worker.controller.retries import retry_of
from services.worker.executors import Observed

log = structlog.get_logger()


@dataclass(frozen=True)
class Closing:
    """Closes attempts that are over. Threads may share it."""

    store: RunStore
    ledger: Ledger
    hints: Hints
    pools: Pools
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self, attempt: Attempt, records: Sequence[AttemptRecord], seen: Observed, close: do.Close) -> None:
        """Write the end down once, with what follows from it; pay, and wake the run. May be repeated."""
        finished = self._finished(attempt, records, seen, close)
        # One after the other: what the retry of one holds of the run's money, the next has not.
        with self._lock:
            state = self.store.state(run_of_attempt(attempt.id))
            if state.live_attempt(attempt.id) is not None:
                self._close(state, attempt, finished)

    def _close(self, state: RunState, attempt: Attempt, finished: ev.AttemptFinished) -> None:
        retry = self._retry(state, attempt, finished)
        after = self.store.record(
            state.run, f"finished:{attempt.id}", lambda now: _draft(now, attempt, finished, retry)
        )
        reach("controller.closed")
        # What is on record counts: another controller may have been quicker, with another second on its clock.
        closed = next(one for one in after.steps[finished.step].attempts if one.id == attempt.id)
        self.ledger.settle(state.tenant, f"step:{attempt.id}", round(closed.cost_usd * MICRODOLLARS))
        reach("controller.settled")
        if after.status in {Status.RUNNING, Status.CANCELLING}:
            self.hints.publish(state.run)
        log.info("attempt_closed", run=state.run, attempt=attempt.id, outcome=finished.outcome, reason=finished.reason)

    def _retry(self, state: RunState, attempt: Attempt, finished: ev.AttemptFinished) -> ev.StepSubmitted | None:
        """The same work again where the platform lost it, with its money reserved."""
        retry = retry_of(state, attempt, finished, self.pools)
        if retry is None:
            return None
        try:
            self.ledger.reserve(state.tenant, f"step:{retry.attempt}", retry.reserved_microdollars)
        except BudgetSpent as error:
            log.warning("retry_not_paid", run=state.run, attempt=retry.attempt, why=str(error))
            return None
        reach("controller.retry_reserved")
        return retry

    def _finished(
        self, attempt: Attempt, records: Sequence[AttemptRecord], seen: Observed, close: do.Close
    ) -> ev.AttemptFinished:
        exit_record, record = seen.exit, ranks.as_one(records, seen)
        began = exit_record.started if exit_record else attempt.started
        ended = exit_record.finished if exit_record else time.time()
        seconds = max(0.0, ended - began) if began else 0.0
        expected = exit_record.bytes if exit_record else record.log_bytes
        missing = max(0, expected - record.log_bytes) + ranks.gap_bytes(records)
        return ev.AttemptFinished(
            step=step_of_attempt(attempt.id),
            attempt=attempt.id,
            outcome=close.outcome,
            exit_code=exit_record.exit_code if exit_record else None,
            reason=close.reason,
            diagnosis=close.diagnosis,
            rank=seen.rank,
            seconds=seconds,
            exited=exit_record.finished if exit_record else None,
            cost_usd=round(self.pools.price_of(attempt) * seconds / 3600, 6),
            log_bytes=record.log_bytes,
            log_complete=record.log_complete,
            gap_bytes=missing,
            peak_rss_bytes=exit_record.peaks.get("rss_bytes") if exit_record else None,
            outputs=ranks.outputs(records),
            checkpoint=record.checkpoint,
            best=list(record.progress.best) if record.progress else [],
        )


def _draft(state: RunState, attempt: Attempt, finished: ev.AttemptFinished, retry: ev.StepSubmitted | None) -> Draft:
    if state.live_attempt(attempt.id) is None:
        return Draft(())
    return Draft((finished, retry) if retry and do.is_wanted(state, attempt) else (finished,))
