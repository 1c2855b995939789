"""What is kept of the cluster's objects: only what is read of them, since there are thousands. Pure."""

from sys import intern
from typing import Any

Json = dict[str, Any]

_METADATA = ("name", "uid", "resourceVersion", "labels", "annotations")
_TIMES = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_POD_SPEC = ("nodeName", "nodeSelector", "schedulingGates", "terminationGracePeriodSeconds")
_POD_STATUS = ("phase", "reason", "message", "startTime", "conditions")
_STATUSES = ("initContainerStatuses", "containerStatuses")
_CONTAINER_STATUS = ("name", "image", "state", "restartCount")
_EVENT = ("type", "reason", "message", "count", "firstTimestamp", "lastTimestamp", "eventTime")
_SHORT = 64


def trim_job(body: Json) -> Json:
    """What is read of a Job."""
    spec = {"suspend": body["spec"].get("suspend", False), "completions": body["spec"].get("completions") or 1}
    return _shared({"metadata": _metadata(body), "spec": spec, "status": body.get("status", {})})


def trim_pod(body: Json) -> Json:
    """What is read of a pod."""
    spec, status = body["spec"], body.get("status", {})
    containers = [
        {"name": one["name"], "image": one["image"], "resources": one.get("resources", {})}
        for one in spec["containers"]
    ]
    statuses = {
        name: [_named(one, _CONTAINER_STATUS) for one in status[name] or ()] for name in _STATUSES if name in status
    }
    return _shared(
        {
            "metadata": _metadata(body),
            "spec": {**_named(spec, _POD_SPEC), "containers": containers},
            "status": {**_named(status, _POD_STATUS), **statuses},
        }
    )


def trim_node(body: Json) -> Json:
    """What is read of a node."""
    metadata, status = body["metadata"], body.get("status", {})
    return _shared(
        {
            "metadata": {**_named(metadata, ("name", "uid", "resourceVersion")), "labels": metadata.get("labels", {})},
            "spec": _named(body.get("spec", {}), ("taints", "unschedulable")),
            "status": {
                "allocatable": status.get("allocatable", {}),
                "conditions": [one for one in status.get("conditions", []) if one["type"] == "Ready"],
            },
        }
    )


def trim_workload(body: Json) -> Json:
    """What is read of a Workload of Kueue."""
    return _shared(
        {
            "metadata": {**_metadata(body), "ownerReferences": body["metadata"].get("ownerReferences", [])},
            "spec": {"active": body["spec"].get("active", True)},
            "status": {"conditions": body.get("status", {}).get("conditions", [])},
        }
    )


def trim_event(body: Json) -> Json:
    """What is read of an event."""
    about = {"involvedObject": _named(body["involvedObject"], ("kind", "name"))}
    return _shared({"metadata": _named(body["metadata"], _METADATA[:3]), **_named(body, _EVENT), **about})


def _metadata(body: Json) -> Json:
    return _named(body["metadata"], (*_METADATA, *_TIMES))


def _named(body: Json, names: tuple[str, ...]) -> Json:
    return {name: body[name] for name in names if name in body}


def _shared(body: Json) -> Json:
    """The same with every key and every short text in memory once: each object that a watch brings has its own."""
    return {intern(name): _shared_value(value) for name, value in body.items()}


def _shared_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _shared(value)
    if isinstance(value, list):
        return [_shared_value(one) for one in value]
    return intern(value) if isinstance(value, str) and len(value) < _SHORT else value
