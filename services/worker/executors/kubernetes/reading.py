"""How far an attempt has come and how it ended, from its Job and its pod. Pure.

How the program ended is what its shim left in the pod's status. Where the shim could not (killed with the program by
the memory limit, evicted, its node gone), the status itself has to do; it never says what only the shim can know.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from services.runner.spool import ExitReason, ExitRecord
from services.worker.executors import Observed, Phase
from services.worker.executors.kubernetes.case import Case, has_begun, seconds
from services.worker.executors.kubernetes.diagnosis import diagnose
from services.worker.executors.kubernetes.manifest import CANCELLED_AT, MAIN, MOVES_ON
from services.worker.executors.kubernetes.stages import stage_of

Json = dict[str, Any]

# A pod that should have been gone for so long is on a node that nobody hears of.
_OVERDUE_SECONDS = 60.0
_NEVER_RAN = {"StartError", "ContainerCannotRun", "ContainerCreateFailed"}


def observe(attempt: str, job: Json | None, pod: Json | None, is_pod_gone: bool, now: float) -> Observed:
    """The attempt as its Job and its newest pod show it. `is_pod_gone`: the pod was deleted after it looked so."""
    cancelled_at = cancel_time(job)
    if pod is not None:
        found = _of_pod(attempt, pod, is_pod_gone, cancelled_at, now)
        if found is not None:
            return found
    if job is None:
        return Observed(attempt, Phase.ABSENT)
    return _of_job(attempt, job, pod, cancelled_at)


def case_of(
    seen: Observed,
    job: Json | None,
    pod: Json | None,
    events: Sequence[Json],
    is_pod_gone: bool,
    now: float,
    rank: int | None = None,
    workload: Json | None = None,
) -> Case:
    """All that is known of the attempt, or of one rank of it."""
    moves_on = MOVES_ON in ((job or {}).get("metadata", {}).get("annotations") or {})
    return Case(now, job, pod, events, seen.exit, is_pod_gone, cancel_time(job), moves_on, rank, workload)


def explained(seen: Observed, case: Case) -> Observed:
    """The attempt with where it stands and what is wrong with it."""
    diagnosis = diagnose(case)
    stage, detail = stage_of(case, diagnosis)
    return replace(seen, stage=stage, detail=detail, diagnosis=diagnosis)


def cancel_time(job: Json | None) -> float | None:
    """When we asked for the attempt's end."""
    text = ((job or {}).get("metadata", {}).get("annotations") or {}).get(CANCELLED_AT)
    return float(text) if text else None


def is_finished(job: Json) -> bool:
    """Whether the Job controller is done with it."""
    return condition(job, "Complete") is not None or condition(job, "Failed") is not None


def is_done(job: Json) -> bool:
    """Whether no pod of it runs or will run: it is finished, or we have stopped it for good."""
    return is_finished(job) or (cancel_time(job) is not None and is_idle(job))


def is_idle(job: Json) -> bool:
    """Whether it is suspended, and no pod is left of it."""
    status = job.get("status", {})
    is_busy = status.get("active") or status.get("terminating")
    # The condition is the Job controller's word that it has looked: before that, a pod may be on its way.
    return condition(job, "Suspended") is not None and not is_busy


def is_pod_over(pod: Json) -> bool:
    """Whether all its containers have ended for good."""
    return pod.get("status", {}).get("phase") in {"Failed", "Succeeded"}


def condition(body: Json, kind: str) -> Json | None:
    """A condition that holds, of a Job or a pod."""
    conditions: list[Json] = body.get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind and one["status"] == "True"), None)


def container(pod: Json, name: str) -> Json:
    """A container's status; empty before there is one."""
    status = pod.get("status", {})
    every: list[Json] = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    return next((one for one in every if one["name"] == name), {})


def _of_pod(attempt: str, pod: Json, is_gone: bool, cancelled_at: float | None, now: float) -> Observed | None:
    """None where the pod tells nothing: it is gone, and did not run to an end while it was seen."""
    state = container(pod, MAIN).get("state") or {}
    if "terminated" in state:
        return _over(attempt, _ended(pod, state["terminated"], cancelled_at))
    if is_gone:
        return None
    if is_pod_over(pod):
        return _over(attempt, _given_up(pod, cancelled_at, now))
    due = seconds(pod["metadata"].get("deletionTimestamp"))
    if due is not None and now > due + _OVERDUE_SECONDS:
        return _over(attempt, _record(ExitReason.SHIM_LOST, _started(pod), due), "its node does not answer")
    phase = Phase.RUNNING if "running" in state else Phase.STARTING
    return Observed(attempt, phase)


def _of_job(attempt: str, job: Json, last: Json | None, cancelled_at: float | None) -> Observed:
    """A Job without a pod that counts: not there yet, never to come, or gone. `last`: the pod that is gone."""
    if cancelled_at is not None and is_done(job):
        return _over(attempt, _record(ExitReason.CANCELLED, cancelled_at, cancelled_at))
    if last is not None and has_begun(last) and is_idle(job):
        at = seconds((condition(job, "Suspended") or {}).get("lastTransitionTime")) or 0.0
        return _over(attempt, _record(ExitReason.SHIM_LOST, _started(last), at), "its Job was suspended")
    if not is_finished(job):
        return Observed(attempt, Phase.STARTING)
    failed = condition(job, "Failed") or {}
    at = seconds(failed.get("lastTransitionTime")) or 0.0
    return _over(attempt, _record(ExitReason.SHIM_LOST, at, at), failed.get("message") or "its pod is gone")


def _over(attempt: str, record: ExitRecord, reason: str = "") -> Observed:
    phase = Phase.LOST if record.reason is ExitReason.SHIM_LOST else Phase.FINISHED
    return Observed(attempt, phase, record, reason or record.reason.value)


def _ended(pod: Json, terminated: Json, cancelled_at: float | None) -> ExitRecord:
    """The end of a container that ran: the shim's own word for it, else what the kubelet saw."""
    reported = _reported(terminated.get("message"))
    if reported is not None:
        was_stopped = reported.reason in {ExitReason.SIGNALLED, ExitReason.EXITED, ExitReason.NOT_CLAIMED}
        if cancelled_at is not None and was_stopped and reported.exit_code != 0:
            # The kubelet's SIGTERM may come before the sidecar's word of who sent it.
            return reported.model_copy(update={"reason": ExitReason.CANCELLED})
        return reported
    began = seconds(terminated.get("startedAt")) or 0.0
    ended = seconds(terminated.get("finishedAt")) or began
    code, why = terminated["exitCode"], terminated.get("reason")
    if why in _NEVER_RAN:
        return _record(ExitReason.START_FAILED, began, ended, code)
    if why == "OOMKilled":
        return _record(ExitReason.SIGNALLED, began, ended, 137, 9)
    if pod["status"].get("reason") == "DeadlineExceeded":
        return _record(ExitReason.DEADLINE, began, ended, 137, 9)
    if cancelled_at is not None:
        return _record(ExitReason.CANCELLED, began, ended, 137, 9)
    return _record(ExitReason.SHIM_LOST, began, ended)


def _given_up(pod: Json, cancelled_at: float | None, now: float) -> ExitRecord:
    """The end of a pod whose program did not come to run, or left no trace: `lay` failed, evicted, its node gone."""
    began = _started(pod)
    over = condition(pod, "DisruptionTarget") or {}
    ended = seconds(over.get("lastTransitionTime")) or _last_finish(pod) or now
    if cancelled_at is not None:
        return _record(ExitReason.CANCELLED, began, ended)
    if pod["status"].get("reason") == "DeadlineExceeded":
        return _record(ExitReason.DEADLINE, began, ended)
    return _record(ExitReason.SHIM_LOST, began, ended)


def _reported(message: str | None) -> ExitRecord | None:
    """The shim's exit record, as it stands in the termination log."""
    try:
        return ExitRecord.model_validate_json(message or "")
    except ValidationError:
        return None


def _started(pod: Json) -> float:
    return seconds(pod["status"].get("startTime")) or seconds(pod["metadata"].get("creationTimestamp")) or 0.0


def _last_finish(pod: Json) -> float | None:
    statuses = [*(pod["status"].get("containerStatuses") or []), *(pod["status"].get("initContainerStatuses") or [])]
    ends = [seconds((one.get("state") or {}).get("terminated", {}).get("finishedAt")) for one in statuses]
    return max((end for end in ends if end is not None), default=None)


def _record(
    reason: ExitReason, started: float, finished: float, exit_code: int | None = None, signal: int | None = None
) -> ExitRecord:
    return ExitRecord(exit_code=exit_code, signal=signal, reason=reason, started=started, finished=finished, bytes=0)
