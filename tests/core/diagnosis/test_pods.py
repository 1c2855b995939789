from typing import Any

import pytest

from services.core.diagnosis.pods import PodEnding, read_pod


def pod(*containers: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"kind": "Pod", "status": {"containerStatuses": list(containers), **status}}


def ended(code: int, reason: str, name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": {"terminated": {"exitCode": code, "reason": reason, **more}}}


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        (pod(ended(137, "OOMKilled")), (137, "OOMKilled")),
        (pod(ended(0, "Completed", "runner"), ended(1, "Error")), (1, "Error")),
        (pod(ended(0, "Completed")), (0, "Completed")),
        (
            pod(ended(137, "Error"), reason="DeadlineExceeded", message="Pod was active too long"),
            (137, "DeadlineExceeded"),
        ),
        (
            pod(
                reason="Evicted", message="Pod ephemeral local storage usage exceeds the total limit of containers 1Gi."
            ),
            (None, "Evicted: it exceeded its limit of ephemeral storage"),
        ),
        (pod(reason="Evicted", message="The node was low on resource: memory."), (None, "Evicted")),
        (pod({"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff"}}}), (None, "ImagePullBackOff")),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]),
            (None, "Unschedulable"),
        ),
        (
            pod(
                ended(143, "Error"),
                conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
            ),
            (143, "PreemptionByScheduler"),
        ),
        ({"kind": "List", "items": [pod(ended(139, "Error"))]}, (139, "Error")),
        (pod({"name": "main", "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 2}}}), (2, "")),
    ],
)
def test_a_pod_says_how_it_ended(body: dict[str, Any], ending: tuple[int | None, str]) -> None:
    found = read_pod(body)
    assert (found.exit_code, found.reason) == ending


def test_what_the_cluster_said_is_kept() -> None:
    assert read_pod(pod(reason="Evicted", message="low on memory")).evidence == ("Evicted: low on memory",)


@pytest.mark.parametrize("body", [None, [], "pod", {}, {"status": 1}, {"items": [3]}])
def test_what_is_no_pod_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match="no"):
        read_pod(body)


def test_a_pod_that_has_not_begun_says_nothing() -> None:
    assert read_pod({"status": {}}) == PodEnding()
