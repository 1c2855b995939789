"""The Jobs and pods of the namespace as attempts: which there are, and the Job and the newest pod of each.

Beside them the cluster's nodes, where we may see them.
"""

import time
from collections.abc import Iterator
from typing import Any

from services.worker.executors.kubernetes.client import EVENTS, JOBS, NODES, PODS, Cluster, Json
from services.worker.executors.kubernetes.manifest import ATTEMPT, RANK, RUNNER, SELECTOR, TENANT
from services.worker.executors.kubernetes.reading import container, is_done
from services.worker.executors.kubernetes.watching import Kept, Watched

# Short outages are not worth a word: a watch that ends is opened again.
_BLIND_SECONDS = 2.0
_SYNC_SECONDS = 10.0


class Namespace:
    """What is watched. Reading costs no request."""

    def __init__(self, cluster: Cluster) -> None:
        self.jobs = Watched(cluster, JOBS, SELECTOR, trim_job, _attempt)
        self.pods = Watched(cluster, PODS, SELECTOR, trim_pod, _attempt, keeps_gone=True)
        # Kept for people and diagnoses: nothing waits for them, and a cluster that refuses them is seen all the same.
        self._events = Watched(cluster, EVENTS, "", trim_event, _about)
        self._nodes = Watched(cluster, NODES, "", trim_node, _name)
        self._patient_until = 0.0

    def start(self) -> None:
        self._patient_until = time.monotonic() + _SYNC_SECONDS
        for watched in (self.jobs, self.pods, self._events, self._nodes):
            watched.start()

    def stop(self) -> None:
        for watched in (self.jobs, self.pods, self._events, self._nodes):
            watched.stop()

    def is_seen(self) -> bool:
        """Whether what is here can be relied on now. Just after the start it waits a moment for the first list."""
        seconds = max(0.0, self._patient_until - time.monotonic())
        return all(
            watched.await_sync(seconds) and watched.blind_seconds < _BLIND_SECONDS for watched in (self.jobs, self.pods)
        )

    @property
    def blind_seconds(self) -> float:
        """For how long what is here has not been known to be current; 0 while it is."""
        return max(self.jobs.blind_seconds, self.pods.blind_seconds)

    @property
    def trouble(self) -> str:
        """Why what is here is not current."""
        return self.jobs.refusal or self.pods.refusal or "the cluster does not answer"

    def attempts(self) -> set[str]:
        """Every attempt with a Job, or with a pod that is still there."""
        return self.jobs.groups() | self.pods.groups()

    def in_flight(self) -> Iterator[str]:
        """The tenant of every Job that has a pod, or may get one."""
        for kept in self.jobs.all():
            if not is_done(kept.body):
                yield kept.body["metadata"]["labels"].get(TENANT, "")

    def job(self, attempt: str) -> Json | None:
        return next((kept.body for kept in self.jobs.of(attempt)), None)

    def pod(self, attempt: str, rank: int | None = None) -> Kept | None:
        """The newest, of that rank if one is named."""
        pods = self.pods.of(attempt)
        return max((one for one in pods if rank in {None, rank_of(one.body)}), key=_created, default=None)

    def size(self, attempt: str) -> int:
        """How many pods the attempt has, as far as that is known."""
        job = self.job(attempt)
        if job is not None:
            return int(job["spec"]["completions"])
        return 1 + max((rank_of(kept.body) for kept in self.pods.of(attempt)), default=0)

    def present_pods(self, attempt: str) -> list[Json]:
        """Every pod of the attempt that is there."""
        return [kept.body for kept in self.pods.of(attempt) if not kept.is_gone]

    def is_shipping(self, attempt: str) -> bool:
        """Whether a sidecar is still at work."""
        states = (container(pod, RUNNER).get("state") for pod in self.present_pods(attempt))
        return any("running" in (state or {}) for state in states)

    def events(self, attempt: str, rank: int | None = None) -> list[Json]:
        """What the cluster said about the attempt's Job and its newest pod (of that rank), oldest first."""
        pod = self.pod(attempt, rank)
        names = [attempt, *([pod.body["metadata"]["name"]] if pod else [])]
        found = [kept.body for name in names for kept in self._events.of(name)]
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def nodes(self) -> list[Json] | None:
        """The cluster's nodes; None where we may not see them, or cannot now."""
        return None if self._nodes.blind_seconds else [kept.body for kept in self._nodes.all()]

    def tidy(self) -> None:
        """Forget what belongs to attempts that are gone from the cluster."""
        there = self.attempts()
        self.pods.forget_but(there)
        self._events.forget_but(there | {kept.body["metadata"]["name"] for kept in self.pods.all()})


def rank_of(pod: Json) -> int:
    """Which of the attempt's pods it is."""
    return int((pod["metadata"].get("annotations") or {}).get(RANK) or 0)


def trim_job(body: Json) -> Json:
    """What is read of a Job."""
    return {
        "metadata": _metadata(body),
        "spec": {"suspend": body["spec"].get("suspend", False), "completions": body["spec"].get("completions") or 1},
        "status": body.get("status", {}),
    }


def trim_pod(body: Json) -> Json:
    """What is read of a pod."""
    spec = body["spec"]
    wanted = ("nodeName", "nodeSelector", "schedulingGates", "terminationGracePeriodSeconds")
    containers = [
        {"name": one["name"], "image": one["image"], "resources": one.get("resources", {})}
        for one in spec["containers"]
    ]
    return {
        "metadata": _metadata(body),
        "spec": {**{name: spec[name] for name in wanted if name in spec}, "containers": containers},
        "status": body.get("status", {}),
    }


def trim_node(body: Json) -> Json:
    """What is read of a node."""
    status = body.get("status", {})
    return {
        "metadata": {name: body["metadata"][name] for name in ("name", "uid", "resourceVersion")}
        | {"labels": body["metadata"].get("labels", {})},
        "spec": {name: body["spec"][name] for name in ("taints", "unschedulable") if name in body.get("spec", {})},
        "status": {
            "allocatable": status.get("allocatable", {}),
            "conditions": [one for one in status.get("conditions", []) if one["type"] == "Ready"],
        },
    }


def trim_event(body: Json) -> Json:
    """What is read of an event."""
    wanted = ("type", "reason", "message", "count", "firstTimestamp", "lastTimestamp", "eventTime", "involvedObject")
    return {"metadata": _metadata(body), **{name: body[name] for name in wanted if name in body}}


def _metadata(body: Json) -> dict[str, Any]:
    times = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
    wanted = ("name", "uid", "resourceVersion", "labels", "annotations", *times)
    return {name: body["metadata"][name] for name in wanted if name in body["metadata"]}


def _created(kept: Kept) -> str:
    return str(kept.body["metadata"]["creationTimestamp"])


def _attempt(body: Json) -> str:
    return str(body["metadata"].get("labels", {}).get(ATTEMPT, ""))


def _name(body: Json) -> str:
    return str(body["metadata"]["name"])


def _about(event: Json) -> str:
    return str(event["involvedObject"].get("name", ""))
