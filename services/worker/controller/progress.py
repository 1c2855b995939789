"""When a run is told where its attempt stands. Pure: the attempt on record and the world's state in, an event out."""

from services.core import events as ev
from services.core.keys import step_of_attempt
from services.core.records import Attempt
from services.worker.executors import Observed

_SECONDS_BETWEEN = 2.0
_SHARE_OF_AGE = 0.05


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
