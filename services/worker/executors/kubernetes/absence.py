"""Why a Job has no pod: the cluster lets it wait, or refuses to make one. Pure.

The Job controller asks for the pod on our behalf, so what the API server answers is only told in the Job's events.
"""

import re
from dataclasses import dataclass

from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner
from services.worker.executors.kubernetes.case import Case, evidence_of, message_of

NO_POD_SECONDS = 60.0
GIVE_UP_SECONDS = 600.0
QUOTA_SECONDS = 24 * 3600.0

_QUOTA = re.compile(r"exceeded quota: (?P<name>[^,\s]+)")
_WEBHOOK = re.compile(r'admission webhook "(?P<name>[^"]+)" denied the request:? ?(?P<why>.*)')
_POLICY = re.compile(r"ValidatingAdmissionPolicy '(?P<name>[^']+)'.* denied request: ?(?P<why>.*)")
_SECURITY = re.compile(r"violates PodSecurity (?P<level>\S+?):? ?(?P<why>[a-zA-Z].*)")
_AWAY = re.compile(r"failed calling webhook|timeout|connection refused|Internal error|etcdserver")


@dataclass(frozen=True)
class _Denial:
    """Why the cluster would not have the pod. `patience`: seconds after which that counts."""

    code: str
    summary: str
    remedy: str
    patience: float
    owner: Owner = Owner.PLATFORM
    is_retriable: bool = False


def diagnose_absence(case: Case) -> Diagnosis | None:
    """What keeps the Job from having a pod. One that is held back (suspended) is queued: nothing is wrong."""
    if case.job is None or case.pod is not None or case.job.get("spec", {}).get("suspend"):
        return None
    said = case.said("FailedCreate")
    waited = case.age_of_job
    if not said and waited < NO_POD_SECONDS:
        return None
    denial = _denial_of(message_of(said[-1])) if said else _SILENT
    left = denial.patience - waited
    return Diagnosis(
        failure=Failure.UNSCHEDULABLE,
        owner=denial.owner,
        code=denial.code,
        summary=denial.summary,
        evidence=evidence_of(said, most=2),
        remedy=denial.remedy,
        is_final=left <= 0,
        is_retriable=denial.is_retriable,
        wait_seconds=max(0.0, left),
    )


_SILENT = _Denial(
    "no_pod",
    "the cluster has made no pod for the step's Job, and does not say why",
    "the operator should look at the cluster's Job controller; the step is tried again by itself",
    GIVE_UP_SECONDS,
    is_retriable=True,
)


def _denial_of(message: str) -> _Denial:
    """What an answer to `create pods` means."""
    if found := _QUOTA.search(message):
        return _Denial(
            "quota_exceeded",
            f'the namespace\'s quota "{found["name"]}" is used up',
            "it starts when other steps end; the operator can raise the quota",
            QUOTA_SECONDS,
        )
    if found := _WEBHOOK.search(message) or _POLICY.search(message):
        return _denied(f"the cluster's policy \"{found['name']}\" forbids the step's pod: {found['why']}")
    if found := _SECURITY.search(message):
        return _denied(f"the namespace's pod security forbids the step's pod: {found['why']}")
    if _AWAY.search(message):
        text = "the cluster has trouble of its own and makes no pods now"
        return _Denial("cluster_failing", text, "it is tried again by itself", GIVE_UP_SECONDS, is_retriable=True)
    return _denied(f"the cluster refuses to make the step's pod: {message[:300]}")


def _denied(summary: str) -> _Denial:
    remedy = "the operator has to allow such pods, or to change the pool so that its pods are allowed"
    return _Denial("pod_denied", summary[:500], remedy, NO_POD_SECONDS)
