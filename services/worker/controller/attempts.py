"""Reconciling attempts: what the runs want, what the executor has, what the runner reported.

Submitting, adopting, cancelling and closing all begin here, by one leader.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import structlog
from pydantic import SecretStr

from services.core import events as ev
from services.core.attempts import AttemptRecord, AttemptStore
from services.core.errors import NewerRecord, RunNotFound, StoreUnavailable
from services.core.faults import reach
from services.core.gpus import GpuHolds
from services.core.hints import Hints
from services.core.keys import step_of_attempt
from services.core.ledger import Ledger
from services.core.lifecycle import Status
from services.core.logging import about
from services.core.logs import LogStore
from services.core.pool_states import PoolStates, Standing
from services.core.pools import Pools
from services.core.records import Attempt, RunState
from services.core.store import Draft, RunStore
from services.core.tokens import issue
from services.worker.controller import ranks, verdict as do
from services.worker.controller.census import publish
from services.worker.controller.clearing import Clearing
from services.worker.controller.closing import Closing
from services.worker.controller.errands import Errands
from services.worker.controller.inquest import Inquest
from services.worker.controller.metrics import ControllerMetrics
from services.worker.controller.news import EVERY_ATTEMPT
from services.worker.controller.pieces import pieces
from services.worker.controller.progress import progress_of, warned_of
from services.worker.controller.quota import Quotas
from services.worker.controller.rescue import Rescue
from services.worker.controller.retries import has_another_pool
from services.worker.executors import AttemptSpec, Executor, Held, Observed, Phase

log = structlog.get_logger()

# A shell that is told to end waits for what it runs and ends as that did. Most would be gone at once, and a program
# that saves its state before it leaves would be taken for what they left behind.
_PATIENT = "trap exit TERM; "
_TOKEN_SLACK_SECONDS = 24 * 3600.0
# What was decided so long ago is looked at again before it is done.
_STALE_SECONDS = 1.0


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
    metrics: ControllerMetrics = field(default_factory=ControllerMetrics)

    @cached_property
    def _clearing(self) -> Clearing:
        return Clearing(self.store, self.attempts, self.executor, self.terms.orphan_seconds, self.metrics)

    @cached_property
    def _rescue(self) -> Rescue:
        return Rescue(self.attempts, self.logs, self.executor)

    @cached_property
    def _quotas(self) -> Quotas:
        return Quotas(GpuHolds(self.store.client), self.terms.pools.quota, self.attempts, self.executor)

    @cached_property
    def _closing(self) -> Closing:
        return Closing(self.store, self.ledger, self.hints, self.terms.pools)

    @cached_property
    def _errands(self) -> Errands:
        return Errands()

    def round(self) -> Iterator[None]:
        """Look at every live attempt once, and at what else there is; in small pieces, one a step."""
        standings: Counter[Standing] = Counter()
        for some in pieces(self.attempts.live()):
            standings.update(self.reconcile(some))
            yield
        live = frozenset(self.attempts.live())
        self._quotas.sweep(live)
        yield
        yield from self._clearing.round(live)
        publish(PoolStates(self.store.client), self.terms.pools, self.executor, standings)

    def settle(self) -> None:
        """Wait for what the executor was asked to do."""
        self._errands.settle()

    def stop(self) -> None:
        """Ask the executor for nothing more, and wait for what it was asked."""
        self._errands.stop()

    def reconcile(self, wanted: Mapping[str, Collection[str] | None]) -> list[Standing]:
        """Do what attempts need now: by run those that are named, or `EVERY_ATTEMPT`. Returns where those stood that
        were live. Raises `StoreUnavailable` and nothing else."""
        return [standing for run, names in wanted.items() for standing in self._reconcile_run(run, names)]

    def _reconcile_run(self, run: str, names: Collection[str] | None) -> list[Standing]:
        try:
            state = self.store.state(run)
            live = [attempt for attempt in state.live_attempts() if names is EVERY_ATTEMPT or attempt.id in names]
            with about(run=run, tenant=state.tenant):
                for attempt, records in zip(live, self.attempts.records_of(live), strict=True):
                    if not self._errands.is_out(attempt.id) or self._is_called_off(state, attempt):
                        self._reconcile(state, attempt, records)
            return [Standing.of(state.tenant, attempt) for attempt in live]
        except RunNotFound:
            log.warning("run_not_known", run=run)
        except NewerRecord as error:
            log.warning("run_left_to_newer_version", run=run, error=str(error))
        except StoreUnavailable:
            raise
        except Exception:
            # The edge of one run: whatever is wrong with it must not keep the others waiting.
            log.exception("run_not_reconciled", run=run)
        return []

    def _is_called_off(self, state: RunState, attempt: Attempt) -> bool:
        """Whether the errand for an attempt that nobody wants any more was called off before it began."""
        return not do.is_wanted(state, attempt) and self._errands.call_off(attempt.id)

    def _reconcile(self, state: RunState, attempt: Attempt, records: Sequence[AttemptRecord]) -> None:
        """Do what one attempt needs now, or send somebody."""
        try:
            seen = self.executor.inspect(attempt.id)
            record = ranks.as_one(records, seen)
            action = do.decide(state, attempt, record, seen, time.time(), self.terms.finish_seconds)
            seen, action = self._within_quota(state, attempt, seen, action)
            self._act(state, attempt, records, seen, action)
            if not isinstance(action, do.Close):
                self._record_progress(state, attempt, seen)
                self._record_warnings(state, attempt, record)
        except StoreUnavailable:
            raise
        except Exception:
            # The edge of one attempt, likewise.
            log.exception("reconcile_failed", attempt=attempt.id)

    def _act(
        self, state: RunState, attempt: Attempt, records: Sequence[AttemptRecord], seen: Observed, action: do.Action
    ) -> None:
        match action:
            case do.Submit():
                self._errands.submit(attempt.id, partial(self._submit, self._spec(state, attempt), time.monotonic()))
            case do.Cancel():
                self._errands.end(attempt.id, partial(self._cancel, attempt))
            case do.Close() if Rescue.is_due(records, seen) or Inquest.is_due(action):
                self._errands.end(attempt.id, partial(self._read_and_close, attempt, records, seen, action))
            case do.Close():
                self._closing.close(attempt, records, seen, action)
            case do.Started():
                self._record_started(state, attempt)
            case do.Nothing():
                pass

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

    def _submit(self, spec: AttemptSpec, decided: float) -> None:
        if time.monotonic() > decided + _STALE_SECONDS:
            # Others were submitted before it.
            state = self.store.state(spec.run)
            attempt = state.live_attempt(spec.attempt)
            if attempt is None or not do.is_wanted(state, attempt):
                return
        try:
            self.executor.submit(spec)
        except Held as why:
            # What it waits for is seen with the attempt; it is asked again in the next round.
            log.debug("attempt_held", run=spec.run, attempt=spec.attempt, why=str(why))
            return
        log.info("attempt_submitted", run=spec.run, attempt=spec.attempt)
        reach("controller.submitted")

    def _cancel(self, attempt: Attempt) -> None:
        self.executor.cancel(attempt.id)
        reach("controller.cancel_sent")

    def _read_and_close(
        self, attempt: Attempt, records: Sequence[AttemptRecord], seen: Observed, close: do.Close
    ) -> None:
        """Fetch what is missing of the logs, ask them for the reason of a failure, then close."""
        records = self._rescue.fetch(attempt, records) if Rescue.is_due(records, seen) else records
        if Inquest.is_due(close):
            close = Inquest(self.logs).hold(attempt, seen, close)
        self._closing.close(attempt, records, seen, close)

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
            command=("sh", "-c", f"{_PATIENT}{attempt.command}"),
            snapshot=attempt.snapshot,
            env=attempt.env,
            inputs=inputs,
            deadline_seconds=attempt.deadline_seconds,
            grace_seconds=self.terms.grace_seconds,
            memory_bytes=attempt.memory_bytes,
            restores=attempt.restores,
            secrets=attempt.secrets,
            resources=attempt.resources,
            pool=attempt.pool,
            has_another_pool=has_another_pool(state.steps[step], attempt, self.terms.pools),
            api_url=self.terms.api_url,
            token=SecretStr(issue(self.terms.runner_secret, attempt.id, expires)),
        )

    def _record_started(self, state: RunState, attempt: Attempt) -> None:
        started = ev.AttemptStarted(step=step_of_attempt(attempt.id), attempt=attempt.id)

        def decide(now: RunState) -> Draft:
            current = now.live_attempt(attempt.id)
            return Draft((started,) if current and current.status == "submitted" else ())

        self.store.record(state.run, f"started:{attempt.id}", decide)
        reach("controller.started")

    def _record_progress(self, state: RunState, attempt: Attempt, seen: Observed) -> None:
        if progress_of(attempt, seen, time.time()) is None:
            return

        def decide(now: RunState) -> Draft:
            current = now.live_attempt(attempt.id)
            progressed = progress_of(current, seen, time.time()) if current else None
            return Draft((progressed,) if progressed else ())

        self.store.record(state.run, f"progressed:{attempt.id}:{attempt.progressed}", decide)

    def _record_warnings(self, state: RunState, attempt: Attempt, record: AttemptRecord) -> None:
        """Tell the run of what its program was seen to do wrong; a run that waits for it is woken by that."""
        if not record.warnings_count:
            return
        told = self.attempts.warnings(attempt.id)
        new = warned_of(state, attempt, told)
        if not new:
            return

        def decide(now: RunState) -> Draft:
            return Draft(tuple(warned_of(now, attempt, told)) if now.live_attempt(attempt.id) else ())

        after = self.store.record(state.run, f"warned:{attempt.id}:{','.join(one.kind for one in new)}", decide)
        if after.status is Status.RUNNING:
            self.hints.publish(state.run)
        log.info("attempt_warned", run=state.run, attempt=attempt.id, kinds=[one.kind for one in new])
