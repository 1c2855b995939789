"""GPU quotas: no attempt is submitted before its tenant has room for it, and none gives its room back while it runs."""

from collections.abc import Collection
from dataclasses import replace

import structlog

from services.core.attempts import AttemptStore
from services.core.gpus import GpuHolds, Shortage
from services.core.pools import GpuQuota
from services.core.records import Attempt, Stage
from services.worker.executors import Executor, Observed, Phase

log = structlog.get_logger()


class Quotas:
    """Every tenant's quota, kept by one controller; two at once for a moment do no harm."""

    def __init__(self, holds: GpuHolds, quota: GpuQuota, attempts: AttemptStore, executor: Executor) -> None:
        self._holds = holds
        self._quota = quota
        self._attempts = attempts
        self._executor = executor
        self._tenants: set[str] = set()
        self._noted: set[str] = set()

    def admit(self, tenant: str, attempt: Attempt, seen: Observed) -> Observed | None:
        """Have the attempt hold its GPUs before it is submitted. None: it does; else how it looks while it waits."""
        gpus, quota = attempt.resources.total_gpus, self._quota.of(tenant)
        if not gpus or quota is None:
            return None
        self._tenants.add(tenant)
        shortage = self._holds.reserve(tenant, attempt.id, gpus, quota, attempt.submitted)
        if shortage is None:
            return None
        log.debug("attempt_waits_for_quota", attempt=attempt.id, tenant=tenant)
        return replace(seen, stage=Stage.QUEUED, detail=shortage_text(gpus, quota, shortage))

    def note(self, tenant: str, attempt: Attempt) -> None:
        """The executor has the attempt: it holds its GPUs, also where there was no quota when it was submitted."""
        gpus = attempt.resources.total_gpus
        if not gpus or self._quota.of(tenant) is None or attempt.id in self._noted:
            return
        self._tenants.add(tenant)
        self._holds.note(tenant, attempt.id, gpus)
        self._noted.add(attempt.id)

    def sweep(self, live: Collection[str]) -> None:
        """Give back what attempts held that are over, once nothing of them keeps a GPU from others. `live`: those known
        not to be over, as of late.

        Only of tenants that wanted GPUs of late: what is left over for others stands in nobody's way.
        """
        for tenant in self._tenants:
            for attempt in (*self._holds.held(tenant), *self._holds.waiting(tenant)):
                if attempt not in live and not self._attempts.is_live(attempt) and self._is_gone(attempt):
                    self._holds.release(tenant, attempt)
                    self._noted.discard(attempt)

    def _is_gone(self, attempt: str) -> bool:
        seen = self._executor.inspect(attempt)
        return seen.phase is Phase.ABSENT or (seen.phase.is_over and not seen.lingers)


def shortage_text(gpus: int, quota: int, shortage: Shortage) -> str:
    """Why an attempt that wants so many GPUs waits."""
    if shortage.is_final:
        return f"GPU quota: the tenant may hold {quota} at once, and this needs {gpus}; raise it or cancel the step"
    text = f"GPU quota: the tenant holds {shortage.held} of {quota}, this needs {gpus}"
    match shortage.before:
        case 0:
            return text
        case 1:
            return f"{text}, and 1 attempt comes first"
        case many:
            return f"{text}, and {many} attempts come first"
