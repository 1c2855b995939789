"""What is dropped of the cluster's objects makes no difference to anybody."""

from dataclasses import replace

import pytest

from services.worker.executors.kubernetes.case import Case
from services.worker.executors.kubernetes.diagnosis import diagnose
from services.worker.executors.kubernetes.reading import observe
from services.worker.executors.kubernetes.stages import stage_of
from services.worker.executors.kubernetes.trimming import trim_event, trim_job, trim_pod
from tests.worker.executors.kubernetes.cases import RECORDED, case_of

NAMES = sorted(path.stem for path in RECORDED.glob("*.json"))


def trimmed(case: Case) -> Case:
    job, pod = trim_job(dict(case.job or {})), trim_pod(dict(case.pod)) if case.pod else None
    events = [trim_event({"metadata": {"name": "e", "uid": "u"}, **event}) for event in case.events]
    return replace(case, job=job, pod=pod, events=events)


@pytest.mark.parametrize("after", [1.0, 100.0, 100_000.0])
@pytest.mark.parametrize("name", NAMES)
def test_a_recording_reads_the_same_when_it_is_trimmed(name: str, after: float) -> None:
    case = case_of(name, after)
    short = trimmed(case)
    assert diagnose(short) == diagnose(case)
    assert stage_of(short, diagnose(short)) == stage_of(case, diagnose(case))
    seen = [
        observe("a", dict(one.job or {}), dict(one.pod) if one.pod else None, False, one.now) for one in (case, short)
    ]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", NAMES)
def test_trimming_twice_is_trimming_once(name: str) -> None:
    short = trimmed(case_of(name))
    assert trimmed(short) == short


def test_what_nobody_reads_is_dropped_and_names_are_in_memory_once() -> None:
    status = {"phase": "Running", "qosClass": "Burstable", "conditions": [{"type": "Ready", "status": "True"}]}
    status["containerStatuses"] = [{"name": "main", "image": "i", "state": {}, "imageID": "sha256:1", "ready": True}]
    body = {"metadata": {"name": "a", "uid": "u", "managedFields": []}, "spec": {"containers": []}, "status": status}
    one, other = trim_pod(body), trim_pod({**body, "status": {**status, "".join(["pha", "se"]): "Running"}})
    assert one == {
        "metadata": {"name": "a", "uid": "u"},
        "spec": {"containers": []},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "main", "image": "i", "state": {}}],
        },
    }
    assert [id(name) for name in one["status"]] == [id(name) for name in other["status"]]
