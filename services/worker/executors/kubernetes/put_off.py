"""Attempts that are not in the cluster because we, or it, would not have them yet, and why."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.core.records import Diagnosis, Stage
from services.worker.executors import Held, Observed, Phase
from services.worker.executors.kubernetes.denials import Denial, denial_of_status

_ASK_AGAIN_SECONDS = 30.0
_FORGOTTEN_SECONDS = 600.0


@dataclass(frozen=True)
class _Reason:
    """Why an attempt was not made when that was asked at `asked`, for this reason first at `since`."""

    text: str
    since: float
    asked: float
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
        if reason is not None and reason.denial and time.monotonic() < reason.asked + _ASK_AGAIN_SECONDS:
            raise Held(reason.text)

    def hold(self, attempt: str, why: str) -> Held:
        """Note why we do not make it; returns what to raise."""
        now = time.monotonic()
        self._reasons[attempt] = _Reason(why, now, now)
        return Held(why)

    def deny(self, attempt: str, status: int, said: Mapping[str, Any]) -> None:
        """Note what the cluster answered: an HTTP status and a Status object."""
        now, before, denial = time.monotonic(), self._reasons.get(attempt), denial_of_status(status, said)
        is_same = before is not None and before.denial is not None and before.denial.code == denial.code
        since = before.since if before is not None and is_same else now
        self._reasons[attempt] = _Reason(denial.summary, since, now, denial, str(said.get("message") or status))

    def look(self, attempt: str) -> Observed | None:
        """The attempt as one that waits to be made; None where nothing is known of it here."""
        reason = self._reasons.get(attempt)
        if reason is None:
            return None
        detail, diagnosis = reason.text, reason.diagnosis
        return Observed(attempt, Phase.STARTING, tended=False, stage=Stage.QUEUED, detail=detail, diagnosis=diagnosis)

    def forget(self, attempt: str) -> None:
        self._reasons.pop(attempt, None)

    def forget_old(self) -> None:
        """Forget what nobody has asked for in a while."""
        oldest = time.monotonic() - _FORGOTTEN_SECONDS
        self._reasons = {name: reason for name, reason in self._reasons.items() if reason.asked > oldest}
