"""Why a program that ran, or a pod that had a node, came to its end. Pure.

What the pod's status says comes before what the program's exit code says: the kubelet saw who ended it.
"""

import math
import re

from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner
from services.runner.spool import ExitReason
from services.worker.executors.kubernetes.case import Case, Json, evidence_of, platform_failure
from services.worker.executors.kubernetes.disruptions import was_over_before

_GIB = 1 << 30
_SIGKILL = 9
# Of a limit: a program killed this near to it was most likely killed for it.
_NEAR = 0.9
_NOT_STARTED = {"StartError", "ContainerCannotRun", "ContainerCreateFailed"}
_OWN_LIMIT = re.compile(r"exceeds the (?:total )?limit|exceeded its local ephemeral storage limit")
_PRESSURE = re.compile(r"low on resource: (?P<resource>[\w./-]+)|node had condition: \[(?P<condition>\w+)")


def diagnose_memory(case: Case) -> Diagnosis | None:
    """Killed for its memory: by its own limit, or with the node where it has none."""
    exit, limit = case.exit, case.memory_limit
    peak = exit.peaks.get("rss_bytes") if exit else None
    is_killed = case.main.terminated.get("reason") == "OOMKilled"
    if not is_killed and not (_was_killed(case) and peak and limit and peak >= _NEAR * limit):
        return None
    if limit is None:
        return platform_failure(
            "oom_node",
            "the node ran out of memory and killed the program, which has no limit of its own",
            evidence_of([case.main.terminated]),
            failure=Failure.OUT_OF_MEMORY,
        )
    used = f"its processes had {_size(peak)}, " if peak else ""
    ask = _next_size(max(limit, peak or 0))
    return Diagnosis(
        failure=Failure.OUT_OF_MEMORY,
        owner=Owner.RESOURCES,
        code="oom_container",
        summary=f"the program was killed for its memory: {used}its limit is {_size(limit)}",
        evidence=evidence_of([case.main.terminated]) if is_killed else (f"killed at {_size(peak)} of {_size(limit)}",),
        remedy=f'ask for memory="{ask}Gi", or make it need less: smaller batches, fewer data workers, streamed data '
        "(what is under /dev/shm counts too)",
    )


def diagnose_eviction(case: Case) -> Diagnosis | None:
    """Evicted by the kubelet: for what the step wrote, or for the node's sake."""
    if case.pod_reason != "Evicted":
        return None
    message = case.pod_message
    evidence: list[Json] = [{"reason": "Evicted", "message": message}]
    if _OWN_LIMIT.search(message):
        return Diagnosis(
            failure=Failure.DISK_FULL,
            owner=Owner.RESOURCES,
            code="evicted_storage",
            summary=f"the step wrote more to its disk than it may: {message}",
            evidence=evidence_of(evidence),
            remedy="keep fewer checkpoints and caches, delete what is no longer needed, or stream the data",
        )
    found = _PRESSURE.search(message)
    what = (found["resource"] or found["condition"]) if found else "something"
    summary = f"node {case.node} was short of {what} and put the pod off"
    return platform_failure("evicted_pressure", summary, evidence_of(evidence))


def diagnose_deadline(case: Case) -> Diagnosis | None:
    """Longer than its deadline."""
    by_job = case.job_condition("Failed").get("reason") == "DeadlineExceeded"
    by_pod = case.pod_reason == "DeadlineExceeded"
    if not (by_job or by_pod or (case.exit and case.exit.reason is ExitReason.DEADLINE)):
        return None
    if was_over_before(case):
        return None
    ran = f"it ran for {case.exit.finished - case.exit.started:.0f} s" if case.exit else ""
    said = evidence_of([{"reason": case.pod_reason, "message": case.pod_message}]) if by_pod else ()
    return Diagnosis(
        failure=Failure.DEADLINE,
        owner=Owner.RESOURCES,
        code="deadline",
        summary="the step ran longer than its deadline and was stopped",
        evidence=(*said, *((ran,) if ran else ())),
        remedy="give it a longer deadline_minutes, or make it do less; from its checkpoint it need not begin again",
    )


def diagnose_start(case: Case) -> Diagnosis | None:
    """A program, or a part of Cohort's own, that could not be started."""
    for container in case.containers:
        code = container.terminated.get("exitCode")
        if not container.is_users and code and case.pod_phase == "Failed" and not case.main.terminated:
            return platform_failure(
                "preparation_failed",
                f"the step's files could not be laid out: container {container.name} ended with exit code {code}",
                evidence_of([container.terminated]),
                failure=Failure.CONFIG,
            )
    if case.main.terminated.get("reason") in _NOT_STARTED:
        # The first word of the container's command is Cohort's shim: the step's own command never had its turn.
        return platform_failure(
            "container_not_created",
            f"node {case.node} fails to start the step's container",
            evidence_of([case.main.terminated]),
            failure=Failure.DEVICE_UNAVAILABLE,
        )
    if case.exit is None or case.exit.reason is not ExitReason.START_FAILED:
        return None
    return Diagnosis(
        failure=Failure.COMMAND_NOT_FOUND,
        owner=Owner.CODE,
        code="not_started",
        summary=f"the step's command could not be started (exit code {case.exit.exit_code})",
        evidence=evidence_of([case.main.terminated]),
        remedy="check that the image has a shell and the program that the command names",
    )


def diagnose_lost_exit(case: Case) -> Diagnosis | None:
    """Over, and nobody knows how the program ended: whatever the exit code says, that is no success."""
    ended = case.main.terminated
    if not ended or case.exit is None or case.exit.reason is not ExitReason.SHIM_LOST:
        return None
    said = (f"exit code {ended.get('exitCode')}, reason {ended.get('reason')}, and no record of the program's end",)
    return platform_failure("exit_lost", "the step's container is over without a word of how the program ended", said)


def diagnose_silence(case: Case) -> Diagnosis | None:
    """The Job is over, and its pod left nothing to tell why."""
    failed = case.job_condition("Failed")
    if failed.get("status") != "True" or case.main.terminated:
        return None
    return platform_failure("pod_lost", "the step's pod is gone without a word", evidence_of([failed]))


def _was_killed(case: Case) -> bool:
    exit = case.exit
    if exit is None or case.cancelled_at is not None:
        return False
    by_signal = exit.reason is ExitReason.SIGNALLED and exit.signal == _SIGKILL
    return by_signal or (exit.reason is ExitReason.EXITED and exit.exit_code == 128 + _SIGKILL)


def _next_size(size: int) -> int:
    """Half as much again, in whole GiB."""
    return max(1, math.ceil(size * 1.5 / _GIB))


def _size(size: int | None) -> str:
    mebibytes = (size or 0) / (1 << 20)
    return f"{mebibytes:.0f} MiB" if mebibytes < 10 * 1024 else f"{mebibytes / 1024:.1f} GiB"
