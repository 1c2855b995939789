"""Why a Job has no pod: the cluster lets it wait, or refuses to make one. Pure.

The Job controller asks for the pod on our behalf, so what the API server answers is only told in the Job's events.
"""

from services.core.records import Diagnosis
from services.core.taxonomy import Owner
from services.worker.executors.kubernetes.case import Case, evidence_of, message_of
from services.worker.executors.kubernetes.denials import Denial, denial_of

NO_POD_SECONDS = 60.0
GIVE_UP_SECONDS = 600.0

_SILENT = Denial(
    "no_pod",
    Owner.PLATFORM,
    "the cluster has made no pod for the step's Job, and does not say why",
    "the operator should look at the cluster's Job controller; the step is tried again by itself",
    GIVE_UP_SECONDS,
    is_retriable=True,
)


def diagnose_absence(case: Case) -> Diagnosis | None:
    """What keeps the Job from having a pod. One that is held back is asked of its queue instead."""
    if case.job is None or case.pod is not None or case.is_suspended:
        return None
    said = case.said("FailedCreate")
    if not said and case.age_of_job < NO_POD_SECONDS:
        return None
    denial = denial_of(message_of(said[-1])) if said else _SILENT
    return denial.diagnosis(case.age_of_job, evidence_of(said, most=2))
