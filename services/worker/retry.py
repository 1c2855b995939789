"""What follows a failed model call. A pure policy: kinds and counts in, a decision out."""

from dataclasses import dataclass

from services.core.lifecycle import Reason
from services.worker.failures import Failure

_PATIENCE = 8
_LONGEST = 300.0
_RETRY_AFTER_CAP = 3600.0

_FATAL = {
    Failure.NO_MODEL: Reason.MODEL_REFUSED,
    Failure.AUTH: Reason.MODEL_AUTH,
    Failure.CREDIT: Reason.MODEL_CREDIT,
    Failure.REFUSED: Reason.MODEL_REFUSED,
}
# How often in a row, and what the run ends with when that was not enough.
_TRIES = {
    Failure.RUBBISH: (3, Reason.MODEL_RUBBISH),
    Failure.UNKNOWN_OUTCOME: (_PATIENCE, Reason.MODEL_UNAVAILABLE),
    # Each time the prompt is shorter: see `context`.
    Failure.CONTEXT: (4, Reason.CONTEXT_EXCEEDED),
}
_AT_ONCE = frozenset({Failure.INTERRUPTED, Failure.UNKNOWN_OUTCOME, Failure.CONTEXT})


@dataclass(frozen=True)
class Retry:
    """Ask again in so many seconds."""

    seconds: float


@dataclass(frozen=True)
class GiveUp:
    """End the run."""

    reason: Reason


def after_failure(
    kind: Failure, failures: int, asked_for: float | None, first_seconds: float, jitter: float
) -> Retry | GiveUp:
    """Decide on the `failures`-th failure in a row (1 for the first).

    `asked_for` is the provider's Retry-After; `first_seconds` the first back-off, which doubles; `jitter` a number in
    [0, 1) that spreads many runs over half a back-off.
    """
    if kind in _FATAL:
        return GiveUp(_FATAL[kind])
    tries, reason = _TRIES.get(kind, (_PATIENCE, Reason.MODEL_UNAVAILABLE))
    if failures >= tries:
        return GiveUp(reason)
    if kind in _AT_ONCE:
        return Retry(0.0)
    if asked_for is not None:
        return Retry(min(asked_for, _RETRY_AFTER_CAP) * (1 + 0.1 * jitter))
    return Retry(min(first_seconds * 2 ** (failures - 1), _LONGEST) * (1 + 0.5 * jitter))
