"""Attempts as a real cluster showed them (Kubernetes 1.34, containerd), and what cannot be recorded made from those.

A recording holds the Job, its pods and the events about both as the API gave them, without what nobody reads.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.runner.spool import ExitReason, ExitRecord
from services.worker.executors.kubernetes.case import QUEUE, Case, seconds

RECORDED = Path(__file__).parent / "recorded"
MIB = 1 << 20


def case_of(name: str, after: float = 1.0, exit: ExitRecord | None = None, **changes: Any) -> Case:
    """The case of a recording, `after` seconds after its Job was made."""
    known = json.loads((RECORDED / f"{name}.json").read_text())
    made = seconds(known["job"]["metadata"]["creationTimestamp"]) or 0.0
    pod = known["pods"][0] if known["pods"] else None
    case = Case(now=made + after, job=known["job"], pod=pod, events=known["events"], exit=exit)
    return replace(case, **changes)


def ended(
    case: Case,
    exit_code: int | None = 0,
    reason: str = "exited",
    signal: int | None = None,
    *,
    at: float = 0.0,
    **more: Any,
) -> Case:
    """The case with the record that the program's shim left, `at` seconds before now."""
    record = ExitRecord(
        exit_code=exit_code,
        signal=signal,
        reason=ExitReason(reason),
        started=case.now - 100,
        finished=case.now - at,
        bytes=10,
        **more,
    )
    return replace(case, exit=record)


def with_pod(case: Case, **parts: Any) -> Case:
    """The case with other `metadata`, `spec` or `status` of its pod, merged over the ones it has."""
    pod = dict(case.pod or {})
    return replace(case, pod={**pod, **{part: {**pod.get(part, {}), **parts[part]} for part in parts}})


def disrupted(case: Case, reason: str, seconds_ago: float = 5.0) -> Case:
    """The case with a pod that the cluster is ending for this reason."""
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": f"for {reason}"}
    at = moment(case.now - seconds_ago)
    conditions = [*(case.pod or {})["status"]["conditions"], {**condition, "lastTransitionTime": at}]
    return with_pod(case, status={"conditions": conditions})


def scheduled_not(case: Case, message: str) -> Case:
    """The case with other words of the scheduler."""
    condition = case.pod_condition("PodScheduled")
    return with_pod(case, status={"conditions": [{**condition, "message": message}]})


def queued(case: Case, **words: str) -> Case:
    """The case of a Job in queue `gpus` of Kueue, which says `words` of it: fields of its Workload's condition. Without
    any Kueue has not looked at it yet."""
    job = dict(case.job or {})
    metadata = {**job["metadata"], "labels": {QUEUE: "gpus"}}
    condition = {"type": "QuotaReserved", "status": "False", "lastTransitionTime": moment(case.now), **words}
    workload = {"spec": {"active": True}, "status": {"conditions": [condition] if words else []}}
    return replace(case, job={**job, "metadata": metadata}, workload=workload)


def suspended(case: Case) -> Case:
    """The case of a Job that was suspended after it had a pod, which is gone."""
    job = dict(case.job or {})
    conditions = [{"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}]
    job |= {"spec": {**job["spec"], "suspend": True}, "status": {"conditions": conditions, "terminating": 0}}
    return replace(case, job=job, is_pod_gone=True)


def told(case: Case, reason: str, message: str, seconds_ago: float = 0.0) -> Case:
    """The case with one more event."""
    at = moment(case.now - seconds_ago)
    event = {"reason": reason, "message": message, "firstTimestamp": at, "lastTimestamp": at}
    return replace(case, events=[*case.events, event])


def moment(time: float) -> str:
    """A time as Kubernetes writes it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
