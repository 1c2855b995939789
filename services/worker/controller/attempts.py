"""Reconciling attempts: what the runs want, what the executor has, what the runner reported.

Submitting, adopting, cancelling and closing all happen here, by one leader. A lost attempt is the platform's business:
it is tried again without a word to the agent, until that has failed too often.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import structlog
from pydantic import SecretStr

from services.core import events as ev
from services.core.attempts import AttemptRecord, AttemptStore
from services.core.errors import BudgetSpent, RunNotFound, StoreUnavailable
from services.core.faults import reach
from services.core.gpus import GpuHolds
from services.core.hints import Hints
from services.core.keys import run_of_attempt, step_of_attempt
from services.core.ledger import Ledger
from services.core.lifecycle import Status
from services.core.logs import LogStore
from services.core.pool_states import PoolStates
from services.core.pools import Pools
from services.core.records import MICRODOLLARS, Attempt, RunState
from services.core.store import Draft, RunStore
from services.core.tokens import issue
from services.worker.controller import ranks, verdict as do
from services.worker.controller.census import publish
from services.worker.controller.clearing import Clearing
from services.worker.controller.progress import progress_of
from services.worker.controller.quota import Quotas
from services.worker.controller.rescue import Rescue
from services.worker.controller.retries import has_another_pool, retry_of
from services.worker.executors import AttemptSpec, Executor, Held, Observed, Phase

log = structlog.get_logger()

_TOKEN_SLACK_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Terms:
    """What every attempt is run under."""

    api_url: str
    runner_secret: str
    grace_seconds: float
    finish_seconds: float
    pools: Pools
    orphan_seconds: float = 60.0


@dataclass(frozen=True)
class Reconciler:
    """Makes live attempts what they should be. Every action may be repeated."""

    store: RunStore
    attempts: AttemptStore
    logs: LogStore
    ledger: Ledger
    executor: Executor
    hints: Hints
    terms: Terms

    @cached_property
    def _clearing(self) -> Clearing:
        return Clearing(self.store, self.attempts, self.executor, self.terms.orphan_seconds)

    @cached_property
    def _rescue(self) -> Rescue:
        return Rescue(self.attempts, self.logs, self.executor)

    @cached_property
    def _quotas(self) -> Quotas:
        return Quotas(GpuHolds(self.store.client), self.terms.pools.quota, self.attempts, self.executor)

    def reconcile_all(self) -> None:
        """Look at every live attempt once."""
        attempts = [found for name in self.attempts.live() if (found := self.reconcile(name))]
        self._clearing.clear()
        self._quotas.sweep()
        publish(PoolStates(self.store.client), self.terms.pools, self.executor, attempts)

    def reconcile(self, attempt_name: str) -> Attempt | None:
        """Do what one attempt needs now; it as it was found. Raises `StoreUnavailable` and nothing else."""
        run = run_of_attempt(attempt_name)
        try:
            state = self.store.state(run)
            attempt = _live(state, attempt_name)
            if attempt is None:
                return None
            seen = self.executor.inspect(attempt_name)
            records = self.attempts.records(attempt_name, attempt.resources.nodes)
            record = ranks.as_one(records, seen)
            action = do.decide(state, attempt, record, seen, time.time(), self.terms.finish_seconds)
            seen, action = self._within_quota(state, attempt, seen, action)
            self._carry_out(state, attempt, records, seen, action)
            if not isinstance(action, do.Close):
                self._record_progress(state, attempt, seen)
            return attempt
        except RunNotFound:
            log.error("attempt_without_run", attempt=attempt_name)
        except StoreUnavailable:
            raise
        except Exception:
            # The edge of one attempt: whatever is wrong with it must not keep the others waiting.
            log.exception("reconcile_failed", attempt=attempt_name)
        return None

    def _within_quota(
        self, state: RunState, attempt: Attempt, seen: Observed, action: do.Action
    ) -> tuple[Observed, do.Action]:
        """The same, but for an attempt whose tenant has no GPUs left for it: that one waits, and is told so."""
        if seen.phase in {Phase.STARTING, Phase.RUNNING}:
            self._quotas.note(state.tenant, attempt)
        elif seen.phase is Phase.ABSENT and isinstance(action, do.Submit):
            waiting = self._quotas.admit(state.tenant, attempt, seen)
            if waiting is not None:
                return waiting, do.Nothing()
        return seen, action

    def _carry_out(
        self, state: RunState, attempt: Attempt, records: Sequence[AttemptRecord], seen: Observed, action: do.Action
    ) -> None:
        match action:
            case do.Submit():
                self._submit(state, attempt)
            case do.Started():
                self._record_started(state, attempt)
            case do.Cancel():
                self.executor.cancel(attempt.id)
                reach("controller.cancel_sent")
            case do.Close():
                records = self._rescue.fetch(attempt, records, seen)
                self._close(state, attempt, self._finished(attempt, records, seen, action))
            case do.Nothing():
                pass

    def _submit(self, state: RunState, attempt: Attempt) -> None:
        try:
            self.executor.submit(self._spec(state, attempt))
        except Held as why:
            # What it waits for is seen with the attempt; it is asked again in the next round.
            log.debug("attempt_held", run=state.run, attempt=attempt.id, why=str(why))
            return
        log.info("attempt_submitted", run=state.run, attempt=attempt.id)
        reach("controller.submitted")

    def _spec(self, state: RunState, attempt: Attempt) -> AttemptSpec:
        step = step_of_attempt(attempt.id)
        inputs = {name: state.steps[name].outputs for name in attempt.uses}
        expires = attempt.submitted + attempt.deadline_seconds + _TOKEN_SLACK_SECONDS
        return AttemptSpec(
            attempt=attempt.id,
            run=state.run,
            step=step,
            number=attempt.number,
            tenant=state.tenant,
            command=("sh", "-c", attempt.command),
            snapshot=attempt.snapshot,
            env=attempt.env,
            inputs=inputs,
            deadline_seconds=attempt.deadline_seconds,
            grace_seconds=self.terms.grace_seconds,
            memory_bytes=attempt.memory_bytes,
            restores=attempt.restores,
            resources=attempt.resources,
            pool=attempt.pool,
            has_another_pool=has_another_pool(state.steps[step], attempt, self.terms.pools),
            api_url=self.terms.api_url,
            token=SecretStr(issue(self.terms.runner_secret, attempt.id, expires)),
        )

    def _record_started(self, state: RunState, attempt: Attempt) -> None:
        started = ev.AttemptStarted(step=step_of_attempt(attempt.id), attempt=attempt.id)

        def decide(now: RunState) -> Draft:
            current = _live(now, attempt.id)
            return Draft((started,) if current and current.status == "submitted" else ())

        self.store.record(state.run, f"started:{attempt.id}", decide)
        reach("controller.started")

    def _record_progress(self, state: RunState, attempt: Attempt, seen: Observed) -> None:
        if progress_of(attempt, seen, time.time()) is None:
            return

        def decide(now: RunState) -> Draft:
            current = _live(now, attempt.id)
            progressed = progress_of(current, seen, time.time()) if current else None
            return Draft((progressed,) if progressed else ())

        self.store.record(state.run, f"progressed:{attempt.id}:{attempt.progressed}", decide)

    def _close(self, state: RunState, attempt: Attempt, finished: ev.AttemptFinished) -> None:
        retry = self._retry(state, attempt, finished)
        after = self.store.record(
            state.run, f"finished:{attempt.id}", lambda now: _closing(now, attempt, finished, retry)
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
        retry = retry_of(state, attempt, finished, self.terms.pools)
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
            cost_usd=round(self.terms.pools.price_of(attempt) * seconds / 3600, 6),
            log_bytes=record.log_bytes,
            log_complete=record.log_complete,
            gap_bytes=missing,
            peak_rss_bytes=exit_record.peaks.get("rss_bytes") if exit_record else None,
            outputs=ranks.outputs(records),
            checkpoint=record.checkpoint,
        )


def _live(state: RunState, attempt_name: str) -> Attempt | None:
    return next((attempt for attempt in state.live_attempts() if attempt.id == attempt_name), None)


def _closing(state: RunState, attempt: Attempt, finished: ev.AttemptFinished, retry: ev.StepSubmitted | None) -> Draft:
    if _live(state, attempt.id) is None:
        return Draft(())
    return Draft((finished, retry) if retry and do.is_wanted(state, attempt) else (finished,))
