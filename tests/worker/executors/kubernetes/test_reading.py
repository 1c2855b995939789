"""How far an attempt has come, from a Job and a pod as the API server shows them."""

import json
from typing import Any

import pytest

from services.worker.executors import Phase
from services.worker.executors.kubernetes.manifest import CANCELLED_AT
from services.worker.executors.kubernetes.reading import observe

ATTEMPT = "rk3v9x2m4q8aa-train-1"
BEGAN, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
BEGAN_AT, ENDED_AT = 1767225600.0, 1767225660.0
NOW = ENDED_AT + 5
RUNNING: dict[str, Any] = {"running": {"startedAt": BEGAN}}
WAITING: dict[str, Any] = {"waiting": {"reason": "PodInitializing"}}
EXIT = {"exit_code": 0, "signal": None, "reason": "exited", "started": 1.0, "finished": 2.0, "bytes": 6}


def job(*conditions: str, cancelled: bool = False, suspend: bool = False, **status: Any) -> dict[str, Any]:
    annotations = {CANCELLED_AT: str(ENDED_AT)} if cancelled else {}
    rows = [
        {"type": kind, "status": "True", "lastTransitionTime": ENDED, "message": f"{kind} it is"} for kind in conditions
    ]
    return {
        "metadata": {"name": ATTEMPT, "annotations": annotations},
        "spec": {"suspend": suspend},
        "status": {**status, "conditions": rows},
    }


def begun(body: dict[str, Any]) -> dict[str, Any]:
    """The pod with a sidecar that was started."""
    sidecar = {"name": "runner", "state": RUNNING}
    return {**body, "status": {**body["status"], "initContainerStatuses": [sidecar]}}


def pod(main: dict[str, Any] | None = None, phase: str = "Running", **status: Any) -> dict[str, Any]:
    statuses = [{"name": "main", "state": main}] if main is not None else []
    return {
        "metadata": {"name": f"{ATTEMPT}-x", "creationTimestamp": BEGAN},
        "status": {"phase": phase, "startTime": BEGAN, "containerStatuses": statuses, **status},
    }


def terminated(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    body = {"exitCode": code, "reason": reason, "message": message, "startedAt": BEGAN, "finishedAt": ENDED}
    return {"terminated": body}


def said(**changes: Any) -> str:
    return json.dumps({**EXIT, **changes})


def killed(code: int, signal: int) -> dict[str, Any]:
    return pod(terminated(code, "Error", said(exit_code=code, signal=signal, reason="signalled")))


OVER = [
    (job(), pod(terminated(0, "Completed", said())), Phase.FINISHED, "exited", 0, None),
    (job(), pod(terminated(3, "Error", said(exit_code=3))), Phase.FINISHED, "exited", 3, None),
    (job(), killed(137, 9), Phase.FINISHED, "signalled", 137, 9),
    # Killed with its program by the memory limit, so it said nothing.
    (job(), pod(terminated(137, "OOMKilled")), Phase.FINISHED, "signalled", 137, 9),
    # The loader is not there, or is for another machine.
    (job(), pod(terminated(128, "StartError", "exec format error")), Phase.FINISHED, "start_failed", 128, None),
    # The shim is dead and said nothing: whoever killed it, it was not the program.
    (job(), pod(terminated(137)), Phase.LOST, "shim_lost", None, None),
    (job(), pod(terminated(137, message="Killed")), Phase.LOST, "shim_lost", None, None),
    (job(cancelled=True), killed(143, 15), Phase.FINISHED, "cancelled", 143, 15),
    (job(cancelled=True), pod(terminated(0, "Completed", said())), Phase.FINISHED, "exited", 0, None),
    (job(cancelled=True), pod(terminated(137)), Phase.FINISHED, "cancelled", 137, 9),
    (job(), pod(terminated(137), phase="Failed", reason="DeadlineExceeded"), Phase.FINISHED, "deadline", 137, 9),
    (job(), pod(phase="Failed", reason="Evicted"), Phase.LOST, "shim_lost", None, None),
    (job(), pod(phase="Failed", reason="DeadlineExceeded"), Phase.FINISHED, "deadline", None, None),
    (job("Failed"), None, Phase.LOST, "Failed it is", None, None),
    (job("Suspended", cancelled=True, suspend=True), None, Phase.FINISHED, "cancelled", None, None),
    # Of a queue: failed by the deadline that we gave it.
    (job("Failed", cancelled=True), None, Phase.FINISHED, "cancelled", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("job_body", "pod_body", "phase", "reason", "code", "signal"), OVER)
def test_how_it_ended(
    job_body: Any, pod_body: Any, phase: Phase, reason: str, code: int | None, signal: int | None
) -> None:
    seen = observe(ATTEMPT, job_body, pod_body, is_pod_gone=False, now=NOW)
    assert (seen.phase, seen.reason) == (phase, reason)
    assert seen.exit
    assert (seen.exit.exit_code, seen.exit.signal) == (code, signal)


@pytest.mark.parametrize(
    ("job_body", "pod_body", "is_gone", "phase"),
    [
        (None, None, False, Phase.ABSENT),
        (job(), None, False, Phase.STARTING),
        (job(suspend=True), None, False, Phase.STARTING),
        (job("FailureTarget", active=1), None, False, Phase.STARTING),
        (job(), pod(phase="Pending"), False, Phase.STARTING),
        (job(), pod(WAITING, phase="Pending"), False, Phase.STARTING),
        (job(), pod(RUNNING), False, Phase.RUNNING),
        # A Job deleted by hand, whose pod has its grace period.
        (None, pod(RUNNING), False, Phase.RUNNING),
        # Suspended by us, and the Job controller has not taken the pod away.
        (job(cancelled=True, suspend=True, active=1), None, False, Phase.STARTING),
        (job(cancelled=True, suspend=True, terminating=1), None, False, Phase.STARTING),
        # Deleted while it ran: only the Job can say that nothing of it is left.
        (job(), pod(RUNNING), True, Phase.STARTING),
        (job("Failed"), pod(RUNNING), True, Phase.LOST),
        (None, pod(RUNNING), True, Phase.ABSENT),
    ],
)
def test_where_it_stands(job_body: Any, pod_body: Any, is_gone: bool, phase: Phase) -> None:
    assert observe(ATTEMPT, job_body, pod_body, is_gone, NOW).phase is phase


def test_a_pod_that_is_gone_is_remembered_as_it_ended() -> None:
    last = killed(143, 15)
    seen = observe(ATTEMPT, job(cancelled=True, suspend=True), last, is_pod_gone=True, now=NOW)
    assert (seen.phase, seen.reason) == (Phase.FINISHED, "cancelled")


@pytest.mark.parametrize(
    ("job_body", "last", "phase"),
    [
        (job("Suspended", suspend=True), begun(pod(RUNNING)), Phase.LOST),
        (job(suspend=True), begun(pod(RUNNING)), Phase.STARTING),
        (job("Suspended", suspend=True, active=1), begun(pod(RUNNING)), Phase.STARTING),
        # It had claimed nothing: another pod of the same Job may.
        (job("Suspended", suspend=True), pod(WAITING, phase="Pending"), Phase.STARTING),
    ],
)
def test_a_job_suspended_by_others_is_lost_with_the_pod_that_had_begun(
    job_body: dict[str, Any], last: dict[str, Any], phase: Phase
) -> None:
    assert observe(ATTEMPT, job_body, last, is_pod_gone=True, now=NOW).phase is phase


def test_a_pod_long_overdue_is_on_a_node_that_nobody_hears_of() -> None:
    stuck = pod(RUNNING)
    stuck["metadata"]["deletionTimestamp"] = ENDED
    assert observe(ATTEMPT, job(), stuck, is_pod_gone=False, now=ENDED_AT + 59).phase is Phase.RUNNING
    assert observe(ATTEMPT, job(), stuck, is_pod_gone=False, now=ENDED_AT + 61).phase is Phase.LOST


def test_what_only_the_status_knows_has_the_statuss_times() -> None:
    seen = observe(ATTEMPT, job(), pod(terminated(137, "OOMKilled")), is_pod_gone=False, now=NOW)
    assert seen.exit
    assert (seen.exit.started, seen.exit.finished) == (BEGAN_AT, ENDED_AT)
