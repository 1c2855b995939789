"""What ends a Job for good, at each of its stages."""

from typing import Any

import pytest

from services.worker.executors.kubernetes.case import QUEUE
from services.worker.executors.kubernetes.manifest import CANCELLED_AT
from services.worker.executors.kubernetes.stopping import Stop, must_go, stop_of

BEGUN = {"status": {"initContainerStatuses": [{"name": "runner", "state": {"running": {}}}]}}
CRASHED = {"status": {"initContainerStatuses": [{"name": "runner", "state": {"waiting": {}}, "restartCount": 1}]}}
PENDING = {"status": {"initContainerStatuses": [{"name": "runner", "state": {"waiting": {}}, "restartCount": 0}]}}


def job(
    *, queue: str = "", suspend: bool = False, cancelled: bool = False, going: bool = False, over: bool = False
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"labels": {QUEUE: queue} if queue else {}}
    metadata |= {"annotations": {CANCELLED_AT: "1.0"}} if cancelled else {}
    metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}
    conditions = [{"type": "Failed", "status": "True"}] if over else []
    return {"metadata": metadata, "spec": {"suspend": suspend}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("body", "pods", "stop"),
    [
        (job(), [], Stop.SUSPEND),
        (job(), [BEGUN], Stop.SUSPEND),
        (job(suspend=True, cancelled=True), [BEGUN], Stop.INSIST),
        # Kueue would let a suspended one start.
        (job(queue="gpus", suspend=True), [], Stop.DELETE),
        (job(queue="gpus"), [], Stop.DELETE),
        (job(queue="gpus"), [PENDING], Stop.EXPIRE),
        (job(queue="gpus"), [BEGUN], Stop.EXPIRE),
        (job(queue="gpus", cancelled=True), [BEGUN], Stop.INSIST),
        # Kueue was quicker.
        (job(queue="gpus", suspend=True, cancelled=True), [BEGUN], Stop.DELETE),
        (job(queue="gpus", suspend=True, going=True), [BEGUN], Stop.INSIST),
    ],
)
def test_what_is_asked_of_the_cluster(body: dict[str, Any], pods: list[dict[str, Any]], stop: Stop) -> None:
    assert stop_of(body, pods) is stop


@pytest.mark.parametrize(
    ("body", "pods", "goes"),
    [
        (job(queue="gpus", suspend=True), [BEGUN], True),
        (job(queue="gpus", suspend=True), [CRASHED], True),
        (job(suspend=True), [BEGUN], True),
        (job(queue="gpus", suspend=True), [PENDING], False),
        (job(queue="gpus", suspend=True), [], False),
        (job(queue="gpus"), [BEGUN], False),
        (job(suspend=True, cancelled=True), [BEGUN], False),
        (job(queue="gpus", suspend=True, going=True), [BEGUN], False),
        (job(queue="gpus", suspend=True, over=True), [BEGUN], False),
    ],
)
def test_a_job_that_others_suspended_goes_if_its_program_may_have_run(
    body: dict[str, Any], pods: list[dict[str, Any]], goes: bool
) -> None:
    assert must_go(body, pods) is goes
