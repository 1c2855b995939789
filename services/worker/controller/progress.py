"""When a run is told where its attempt stands and what is wrong with it. Pure.

The attempt on record and the state of the world in, events out.
"""

from collections.abc import Sequence

from services.core import events as ev
from services.core.early_warnings import Kind
from services.core.keys import step_of_attempt
from services.core.observations import Warned
from services.core.records import Attempt, RunState
from services.worker.executors import Observed

_SECONDS_BETWEEN = 2.0
_SHARE_OF_AGE = 0.05
_KINDS = frozenset(Kind)


def warned_of(state: RunState, attempt: Attempt, told: Sequence[Warned]) -> list[ev.AttemptWarned]:
    """The events for warnings of kinds that the run has not heard of this step. Other notes of the runner are none."""
    step = step_of_attempt(attempt.id)
    known = {warning.kind for warning in state.steps[step].warnings}
    new = {one.kind: one for one in reversed(told) if one.kind in _KINDS and one.kind not in known}
    return [
        ev.AttemptWarned(step=step, attempt=attempt.id, kind=kind, text=one.text) for kind, one in sorted(new.items())
    ]


def progress_of(attempt: Attempt, seen: Observed, now: float) -> ev.AttemptProgressed | None:
    """The event that tells of a new stage, or of new words about the same one; None where there is nothing to tell.

    A new stage is told at once. New words come at most every two seconds, and the more rarely the longer the attempt is
    there: what a cluster says of one that waits for hours changes with every node that comes and goes.
    """
    if seen.stage is None or (seen.stage, seen.detail) == (attempt.stage, attempt.detail):
        return None
    if seen.stage is attempt.stage and attempt.progressed is not None:
        pause = max(_SECONDS_BETWEEN, _SHARE_OF_AGE * (now - attempt.submitted))
        if now < attempt.progressed + pause:
            return None
    step = step_of_attempt(attempt.id)
    return ev.AttemptProgressed(step=step, attempt=attempt.id, stage=seen.stage, detail=seen.detail)
