"""Where a Job stands in a queue of Kueue. Pure.

Kueue keeps a Workload of each Job of its queues, and says there why the Job has to wait. It may stop a Job that it has
let start, and let the same Job start again later, with another pod.
"""

from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner
from services.worker.executors.kubernetes.case import Case, Json, evidence_of, has_begun, message_of, seconds
from services.worker.executors.kubernetes.denials import Denial
from services.worker.executors.kubernetes.scheduling import CAPACITY_SECONDS, OTHER_POOL_SECONDS

UNATTENDED_SECONDS = 60.0

# Kueue's reason where no quota would help: the queue is not there, or takes nothing.
_INADMISSIBLE = "Inadmissible"


def queue_text(case: Case) -> str:
    """Where a Job that is held back waits, and what Kueue says of it."""
    if not case.queue:
        return "suspended"
    return ": ".join(part for part in (f"in queue {case.queue}", message_of(_verdict(case))) if part)


def diagnose_queue(case: Case) -> Diagnosis | None:
    """What keeps a Job in its queue that more room would not help."""
    if not case.queue or not case.is_suspended or case.workload is None:
        return None
    waited = case.now - (seconds((case.job or {})["metadata"].get("creationTimestamp")) or case.now)
    if not case.workload:
        summary = f"Kueue has not taken the step's Job into queue {case.queue}"
        remedy = "the operator should see whether Kueue runs, and whether it looks after the namespace of the steps"
        denial = _denial(case, "queue_unattended", summary, remedy)
        late = waited - UNATTENDED_SECONDS
        return denial.diagnosis(late, ("the Job has no Workload",)) if late > 0 else None
    verdict = _verdict(case)
    if verdict.get("reason") != _INADMISSIBLE and _is_active(case):
        return None
    since = case.now - (seconds(verdict.get("lastTransitionTime")) or case.now)
    summary = f"in queue {case.queue}, which does not admit it: {message_of(verdict)}"
    remedy = "the operator has to open or create what is named, or to correct the pool's queue"
    return _denial(case, "queue_closed", summary, remedy).diagnosis(since, evidence_of([verdict]))


def may_start_again(case: Case) -> bool:
    """Whether the pod is gone, and may be followed by another of its Job: Kueue stopped it before it had begun."""
    if case.pod is None or not case.is_pod_gone or has_begun(case.pod):
        return False
    is_failing = case.job_condition("FailureTarget") or case.job_condition("Failed")
    return bool(case.queue) and not is_failing


def _verdict(case: Case) -> Json:
    """Kueue's word on why the Job may not start; empty where it says nothing of the kind."""
    kind, holds = ("QuotaReserved", "False") if _is_active(case) else ("Evicted", "True")
    said = case.workload_condition(kind)
    return said if said.get("status") == holds else {}


def _is_active(case: Case) -> bool:
    """Whether Kueue considers the Job at all; people may switch that off."""
    return (case.workload or {}).get("spec", {}).get("active") is not False


def _denial(case: Case, code: str, summary: str, remedy: str) -> Denial:
    patience = OTHER_POOL_SECONDS if case.has_another_pool else CAPACITY_SECONDS
    is_retriable = case.has_another_pool
    return Denial(code, Owner.PLATFORM, summary, remedy, patience, is_retriable, Failure.UNSCHEDULABLE)
