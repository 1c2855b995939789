"""Attempts that are not in the cluster, or not all of them, because we, or it, would not have them yet, and why."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.core.records import Diagnosis, Stage
from services.worker.executors import Held, Observed, Phase
from services.worker.executors.kubernetes.denials import Denial, denial_of_status

# Whoever was refused once is asked for again soon, whoever is refused again and again from time to time.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_FORGOTTEN_SECONDS = 600.0


@dataclass(frozen=True)
class _Reason:
    """Why an attempt was not made when that was asked at `asked`, for this reason first at `since`. The cluster is not
    asked before `again`."""

    text: str
    since: float
    asked: float
    again: float = 0.0
    refusals: int = 0
    denial: Denial | None = None
    message: str = ""

    @property
    def diagnosis(self) -> Diagnosis | None:
        waited = time.monotonic() - self.since
        return self.denial.diagnosis(waited, (self.message[:1000],)) if self.denial else None


class PutOff:
    """The attempts of one executor, by name."""

    def __init__(self) -> None:
        self._reasons: dict[str, _Reason] = {}

    def check(self, attempt: str) -> None:
        """Raises `Held` where the cluster has refused the attempt just now: it is not asked again at every turn."""
        reason = self._reasons.get(attempt)
        if reason is not None and time.monotonic() < reason.again:
            raise Held(reason.text)

    def hold(self, attempt: str, why: str) -> Held:
        """Note why we do not make it; returns what to raise."""
        now = time.monotonic()
        self._reasons[attempt] = _Reason(why, now, now)
        return Held(why)

    def deny(self, attempt: str, status: int, said: Mapping[str, Any], kind: str) -> None:
        """Note what the cluster answered to the wish for an object of that kind: an HTTP status and a Status object."""
        now, before, denial = time.monotonic(), self._reasons.get(attempt), denial_of_status(status, said, kind)
        refusals = before.refusals + 1 if before else 1
        is_same = before is not None and before.denial is not None and before.denial.code == denial.code
        since = before.since if before is not None and is_same else now
        again = now + pause_seconds(refusals)
        message = str(said.get("message") or status)
        self._reasons[attempt] = _Reason(denial.summary, since, now, again, refusals, denial, message)

    def look(self, attempt: str, seen: Observed) -> Observed:
        """`seen`, and what keeps us from making it whole, where something does."""
        reason, is_absent = self._reasons.get(attempt), seen.phase is Phase.ABSENT
        if reason is None or not (is_absent or (seen.phase is Phase.STARTING and not seen.tended)):
            return seen
        stage, diagnosis = Stage.QUEUED if is_absent else seen.stage, reason.diagnosis or seen.diagnosis
        return replace(seen, phase=Phase.STARTING, tended=False, stage=stage, detail=reason.text, diagnosis=diagnosis)

    def forget(self, attempt: str) -> None:
        self._reasons.pop(attempt, None)

    def forget_old(self) -> None:
        """Forget what nobody has asked for in a while."""
        oldest = time.monotonic() - _FORGOTTEN_SECONDS
        self._reasons = {name: reason for name, reason in self._reasons.items() if reason.asked > oldest}


def pause_seconds(refusals: int) -> float:
    """How long the cluster is left alone with an attempt that it has refused so many times."""
    return min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(refusals - 1, 10))
