"""What to do about one attempt. Pure: the run's wish, the world's state and the runner's report in, one action out.

Level-triggered: it looks at how things are, never at what has changed, so a controller that missed everything comes to
the same answer.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from services.core.attempts import AttemptRecord
from services.core.lifecycle import Status
from services.core.records import Attempt, Diagnosis, RunState, Stage
from services.runner.spool import ExitReason
from services.worker.executors import Observed, Phase

# Runners speak every few seconds.
_SILENT_SECONDS = 60.0
_LOST = frozenset({ExitReason.SHIM_LOST, ExitReason.NOT_CLAIMED})
_BY_ITSELF = frozenset({ExitReason.EXITED, ExitReason.SIGNALLED})
_TERMINATED = "terminated: it was told to end by whoever rules its machine, not by its run"

Outcome = Literal["succeeded", "failed", "cancelled", "lost"]


@dataclass(frozen=True)
class Submit:
    """Make the executor run it, or look after it again."""


@dataclass(frozen=True)
class Started:
    """Tell the run that the program runs."""


@dataclass(frozen=True)
class Cancel:
    """Make the executor stop it."""


@dataclass(frozen=True)
class Close:
    """Tell the run how it ended."""

    outcome: Outcome
    reason: str
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True)
class Nothing:
    """All is as it should be, or it is too early to tell."""


Action = Submit | Started | Cancel | Close | Nothing


def is_wanted(state: RunState, attempt: Attempt) -> bool:
    """Whether the run still wants the attempt to go on."""
    step = next(step for step in state.steps.values() if step.last.id == attempt.id)
    return not (state.status.is_final or state.status is Status.CANCELLING or step.cancelling)


def decide(
    state: RunState, attempt: Attempt, record: AttemptRecord, seen: Observed, now: float, finish_seconds: float
) -> Action:
    """The one thing to do about a live attempt now. `finish_seconds`: how long one that ended may ship its log."""
    wanted = is_wanted(state, attempt)
    match seen.phase:
        case Phase.UNKNOWN:
            return Nothing()
        case Phase.ABSENT:
            if not wanted:
                return Close("cancelled", "cancelled before it started")
            # What was claimed is over with the execution that claimed it, and no other would run its program.
            is_new = attempt.status == "submitted" and record.claimed_at is None
            return Submit() if is_new else Close("lost", "its process is nowhere to be found")
        case Phase.STARTING | Phase.RUNNING:
            return _living(attempt, record, seen, wanted, now)
        case Phase.FINISHED | Phase.LOST:
            return _over(record, seen, now, finish_seconds, wanted)
        case _:
            assert_never(seen.phase)


def _living(attempt: Attempt, record: AttemptRecord, seen: Observed, wanted: bool, now: float) -> Action:
    if not wanted:
        return Cancel()
    if seen.diagnosis and seen.diagnosis.is_final and not _is_heard(record, now):
        # It will never run. What is left of it is cleared away once nobody counts on it.
        return _judged(seen, "lost", seen.reason)
    if seen.stage is Stage.QUEUED and record.claimed_at is not None:
        return Close("lost", "it was stopped after it had begun, and put back into its queue")
    if not seen.tended:
        return Submit()
    if attempt.status == "submitted" and seen.phase is Phase.RUNNING and record.claimed_at is not None:
        return Started()
    return Nothing()


def _over(record: AttemptRecord, seen: Observed, now: float, finish_seconds: float, wanted: bool) -> Action:
    if seen.exit is None:
        return _judged(seen, "lost", seen.reason or "its process is gone without a word")
    if record.finish is None and (now < seen.exit.finished + finish_seconds or (wanted and _is_heard(record, now))):
        # What it wrote is worth having, whatever became of it, and large outputs take their time.
        return Nothing() if seen.tended else Submit()
    reason = seen.exit.reason
    if seen.phase is Phase.LOST:
        return _judged(seen, "lost", seen.reason or reason)
    if reason is ExitReason.CANCELLED:
        return Close("cancelled", "cancelled")
    if reason in _LOST:
        return _judged(seen, "lost", reason)
    if seen.exit.terminated and reason in _BY_ITSELF:
        # It may have saved its state and left with 0: that it had more to do, nobody can tell from its code.
        return _judged(seen, "lost", _TERMINATED) if wanted else Close("cancelled", "cancelled")
    if reason is ExitReason.EXITED and seen.exit.exit_code == 0:
        return _judged(seen, "succeeded", "exit code 0")
    return _judged(seen, "failed", _failure(reason, seen.exit.exit_code, seen.exit.signal))


def _is_heard(record: AttemptRecord, now: float) -> bool:
    """Whether its runner spoke of late: a cluster may lose sight of a node whose programs go on."""
    return record.heartbeat_at is not None and now - record.heartbeat_at < _SILENT_SECONDS


def _judged(seen: Observed, outcome: Outcome, reason: str) -> Close:
    """What the diagnosis says, where there is one: it knows more than how the program ended."""
    diagnosis = seen.diagnosis
    if diagnosis is None or not diagnosis.is_final:
        return Close(outcome, reason)
    return Close("lost" if diagnosis.is_retriable else "failed", diagnosis.summary, diagnosis)


def _failure(reason: ExitReason, exit_code: int | None, signal: int | None) -> str:
    match reason:
        case ExitReason.DEADLINE:
            return "deadline: it ran longer than its deadline and was stopped"
        case ExitReason.SIGNALLED:
            return f"signal {signal}: it was killed from outside, or by the system for its memory"
        case ExitReason.START_FAILED:
            return f"its command could not be started (exit code {exit_code})"
        case _:
            return f"exit code {exit_code}"
