"""Commands in a pod of the run's own: its sandbox, which is a step like any other, named `sandbox`.

The worker submits the step when a command needs one, puts the command into the run's queue and waits for its outcome;
the sandbox's sidecar does the rest. A sandbox that idles, or has had its time, ends by itself, and the next command
gets a new one. Only a command that a sandbox took with it is lost, and said to be.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.commands import NOT_LAID, NOT_STARTED, ChangedFile, Outcome
from services.core.contents import Blob, Change
from services.core.errors import BudgetSpent, CohortError
from services.core.faults import reach
from services.core.keys import attempt_id
from services.core.ledger import Ledger
from services.core.lifecycle import Status
from services.core.placement import Refusal, place
from services.core.pools import Pools, microdollars
from services.core.records import MICRODOLLARS, Attempt, RunState
from services.core.resources import Resources
from services.core.sandboxes import SANDBOX, CommandRecord, RunNotAtWork, SandboxStore
from services.core.store import Draft, RunStore
from services.core.taxonomy import Failure
from services.core.workspace import EMPTY
from services.runner.spool import ExitReason
from services.worker.shells import Interrupted, Order, OutcomeUnknown, Ran, Stop

log = structlog.get_logger()

_LOOK_SECONDS = 0.02
_LONGEST_LOOK_SECONDS = 0.2
_STATE_SECONDS = 1.0
# Sandboxes that end before they took a command that waits for them.
_TRIES = 3
# A worker's slot waits as long. What cannot be had by then is said to the agent, who may do without.
_WAIT_SECONDS = 1_800.0
# The life of a sandbox whose whole time nobody can pay.
_SHORT_SECONDS = 900.0
# For files to be laid and changes to be brought, beyond a command's own time.
_OVERDUE_SECONDS = 900.0
_SILENT = "the sandbox has not told what became of the command, so it is unknown; check its effects"
# Beyond the time in which a sandbox takes commands: the longest command, and room for its end.
_LAST_COMMAND_SECONDS = 1_860.0


class NoSandbox(CohortError):
    """The command could not be begun."""


@dataclass(frozen=True)
class SandboxTerms:
    """What every sandbox is. It ends after `idle_seconds` without a command, and takes none after `seconds`."""

    idle_seconds: float
    seconds: float
    resources: Resources = field(default_factory=Resources)


class SandboxShell:
    """`Shell` in sandboxes. Keeps nothing in this process."""

    def __init__(
        self,
        runs: RunStore,
        sandboxes: SandboxStore,
        ledger: Ledger,
        artifacts: ArtifactStore,
        pools: Pools,
        terms: SandboxTerms,
    ) -> None:
        self._runs = runs
        self._sandboxes = sandboxes
        self._ledger = ledger
        self._artifacts = artifacts
        self._pools = pools
        self._terms = terms

    def run(self, state: RunState, order: Order, stop: Stop) -> Ran:
        """See `Shell`. A command is known by its call, so asking again only waits for it."""
        run, call = state.run, order.call
        if stop():
            raise Interrupted(f"the lease on run {run} ended before the command began")
        try:
            self._sandboxes.queue(run, order)
        except RunNotAtWork as error:
            raise Interrupted(str(error)) from error
        reach("worker.command_queued")
        pause, state_at = _LOOK_SECONDS, 0.0
        while True:
            record = self._sandboxes.command(run, call)
            if record.outcome is not None and record.outcome.reason != NOT_STARTED:
                return self._ran(record.outcome)
            if stop():
                raise Interrupted(f"the command {call} is left to the run's next holder")
            if time.monotonic() >= state_at:
                state_at = time.monotonic() + _STATE_SECONDS
                self._see_to(self._runs.state(run), order, record)
            time.sleep(pause)
            pause = min(pause * 1.3, _LONGEST_LOOK_SECONDS)

    def recover(self, state: RunState, order: Order, stop: Stop) -> Ran | None:
        """See `Shell`. What nobody took is simply taken now."""
        return self.run(state, order, stop)

    def runs(self) -> list[str]:
        """See `Shell`: on this machine there is nothing."""
        return []

    def vacate(self, state: RunState) -> bool:
        """See `Shell`. Its price counts until its end is on record."""
        step = state.steps.get(SANDBOX)
        if step is None or not step.last.is_live:
            return True
        self._end(state, step.last)
        return False

    def close(self, run: str) -> None:
        """See `Shell`. The sandbox itself ends with its run, like every step."""
        self._sandboxes.remove(run)

    def _see_to(self, state: RunState, order: Order, record: CommandRecord) -> None:
        """Make sure that somebody will say what becomes of the command. Raises if nobody can."""
        step = state.steps.get(SANDBOX)
        last = step.last if step else None
        if record.outcome is not None:
            self._sandboxes.queue_again(state.run, order.call, record.attempt)
        elif record.attempt:
            taken_by = next((one for one in step.attempts if one.id == record.attempt), None) if step else None
            is_overdue = time.time() > record.begun_at + order.timeout_seconds + _OVERDUE_SECONDS
            is_gone = taken_by is None or not taken_by.is_live
            # Asked again: the outcome may have come before the end.
            if (is_gone or is_overdue) and self._is_silent(state.run, order.call):
                raise OutcomeUnknown(_lost(taken_by) if is_gone else _SILENT)
        elif time.time() > record.queued_at + _WAIT_SECONDS:
            self._give_up(state, order, last)
        elif last is None or not last.is_live:
            self._renew(state, order, record, step.attempts if step else ())
        elif last.resources.gpus < order.gpus:
            self._end(state, last)

    def _is_silent(self, run: str, call: str) -> bool:
        return self._sandboxes.command(run, call).outcome is None

    def _renew(self, state: RunState, order: Order, record: CommandRecord, before: Sequence[Attempt]) -> None:
        """Submit the next sandbox, unless those before it say that it is in vain."""
        since = [one for one in before if (one.ended or 0.0) > record.queued_at]
        failed = next((one for one in reversed(since) if one.status == "failed"), None)
        lost = [one for one in since if one.status == "lost"]
        try:
            if failed is not None or len(lost) >= _TRIES:
                raise NoSandbox(f"nothing was run, the sandbox could not be started: {_why(failed or lost[-1])}")
            self._submit(state, order, len(before) + 1, {one.pool for one in lost if _had_no_room(one)})
        except NoSandbox:
            # Whoever was quicker to take it tells the outcome.
            if self._sandboxes.withdraw(state.run, order.call):
                raise

    def _give_up(self, state: RunState, order: Order, last: Attempt | None) -> None:
        if not self._sandboxes.withdraw(state.run, order.call):
            return
        where = f": {last.stage or last.status} {last.detail}".rstrip() if last else ""
        if last and last.is_live:
            self._end(state, last)
        raise NoSandbox(f"nothing was run: no sandbox took the command within {_WAIT_SECONDS / 60:g} minutes{where}")

    def _submit(self, state: RunState, order: Order, number: int, full: set[str]) -> None:
        # Only what GPUs are on offer is the goal's to say: looking around does not belong on the nodes it trains on.
        pools = state.resources.pool if order.gpus else ()
        resources = self._terms.resources.model_copy(update={"gpus": order.gpus, "pools": pools})
        placement = place(self._pools, state.tenant, resources, full)
        if full and isinstance(placement, Refusal):
            placement = place(self._pools, state.tenant, resources)
        if isinstance(placement, Refusal):
            raise NoSandbox(f"nothing was run: {placement.text}")
        attempt = attempt_id(state.run, SANDBOX, number)
        price = placement.price_per_hour
        life, cost = self._pay(state, attempt, price, resources)
        self._sandboxes.set_terms(state.run, self._terms.idle_seconds, time.time() + life)
        reach("worker.sandbox_reserved")
        submitted = ev.StepSubmitted(
            step=SANDBOX,
            attempt=attempt,
            number=number,
            command="the commands of bash",
            snapshot=EMPTY,
            uses=[],
            env={},
            deadline_seconds=life + _LAST_COMMAND_SECONDS,
            resources=resources,
            pool=placement.pool.name,
            price_per_hour=price,
            reserved_microdollars=cost,
        )
        after = self._runs.record(state.run, f"submitted:{attempt}", lambda now: _submitting(now, submitted))
        if not _has(after, attempt):
            self._ledger.settle(state.tenant, f"step:{attempt}", 0)
            return
        log.info("sandbox_submitted", run=state.run, attempt=attempt, pool=placement.pool.name)

    def _pay(self, state: RunState, attempt: str, price: float, resources: Resources) -> tuple[float, int]:
        """How long the sandbox may take commands, and the microdollars that are reserved for it."""
        refusal: str | None = None
        for life in (self._terms.seconds, min(self._terms.seconds, _SHORT_SECONDS)):
            cost = microdollars(price, resources, life + _LAST_COMMAND_SECONDS)
            refusal = self._reserve(state, attempt, cost)
            if refusal is None:
                return life, cost
        raise NoSandbox(f"nothing was run: {refusal}")

    def _reserve(self, state: RunState, attempt: str, cost: int) -> str | None:
        """Hold the money; why that cannot be, if it cannot."""
        cap, spend = state.limits.dollars, state.spend
        if cap is not None and spend.microdollars + spend.reserved_microdollars + cost > cap * MICRODOLLARS:
            left = cap - (spend.microdollars + spend.reserved_microdollars) / MICRODOLLARS
            needed = cost / MICRODOLLARS
            return f"the run has ${left:.2f} left and a sandbox could cost ${needed:.2f}"
        try:
            self._ledger.reserve(state.tenant, f"step:{attempt}", cost)
        except BudgetSpent as error:
            return str(error)
        return None

    def _end(self, state: RunState, sandbox: Attempt) -> None:
        """Have a sandbox take no more commands, and end when it has none."""
        if self._sandboxes.retire(state.run, sandbox.id):
            return
        asked = ev.StepCancelRequested(step=SANDBOX)

        def decide(now: RunState) -> Draft:
            step = now.steps[SANDBOX]
            is_meant = step.last.id == sandbox.id and step.last.is_live and not step.cancelling
            return Draft((asked,) if is_meant else ())

        self._runs.record(state.run, f"vacated:{sandbox.id}", decide)

    def _ran(self, outcome: Outcome) -> Ran:
        output = outcome.output
        if outcome.output_object is not None:
            output = self._artifacts.get(outcome.output_object.sha256)
        text = output.decode(errors="replace")
        if outcome.reason == NOT_LAID:
            raise NoSandbox(f"nothing was run, the files could not be laid: {text}")
        if outcome.reason == ExitReason.SHIM_LOST:
            said = f"; its last words:\n{text[-2_000:]}" if text else ""
            raise OutcomeUnknown(f"the command was killed, so what became of it is unknown; check its effects{said}")
        return Ran(outcome.exit_code, outcome.reason, output, tuple(map(_change, outcome.changes)), outcome.skipped)


def _submitting(state: RunState, submitted: ev.StepSubmitted) -> Draft:
    """The new sandbox, unless there is one already: two commands of one reply may both want it."""
    step = state.steps.get(SANDBOX)
    is_next = (len(step.attempts) if step else 0) + 1 == submitted.number
    is_free = step is None or not step.last.is_live
    return Draft((submitted,) if state.status is Status.RUNNING and is_next and is_free else ())


def _has(state: RunState, attempt: str) -> bool:
    step = state.steps.get(SANDBOX)
    return step is not None and any(one.id == attempt for one in step.attempts)


def _change(changed: ChangedFile) -> Change:
    content = None if changed.content is None else Blob(changed.content.sha256, changed.content.size)
    return Change(changed.path, content, changed.mode)


def _lost(sandbox: Attempt | None) -> str:
    why = f" ({_why(sandbox)})" if sandbox else ""
    return (
        f"the sandbox ended while the command ran{why}, so what became of the command is unknown; what it changed is "
        "lost with the sandbox. The next command gets a new sandbox with the workspace as it was before"
    )


def _had_no_room(sandbox: Attempt) -> bool:
    return sandbox.diagnosis is not None and sandbox.diagnosis.failure is Failure.UNSCHEDULABLE


def _why(sandbox: Attempt) -> str:
    return sandbox.diagnosis.summary if sandbox.diagnosis else sandbox.reason or sandbox.status
