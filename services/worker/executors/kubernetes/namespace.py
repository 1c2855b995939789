"""The Jobs and pods of the namespace as attempts: which there are, and the Job and the newest pod of each.

Beside them the cluster's nodes, where we may see them.
"""

import time
from collections.abc import Callable, Iterator

from services.worker.executors.kubernetes.client import EVENTS, JOBS, NODES, PODS, WORKLOADS, Cluster, Json
from services.worker.executors.kubernetes.manifest import ATTEMPT, RANK, RUNNER, SELECTOR, TENANT
from services.worker.executors.kubernetes.metrics import Metrics
from services.worker.executors.kubernetes.reading import container, is_done
from services.worker.executors.kubernetes.trimming import (
    trim_event,
    trim_job,
    trim_node,
    trim_pod,
    trim_workload,
)
from services.worker.executors.kubernetes.watching import Kept, Watched

# Short outages are not worth a word: a watch that ends is opened again.
_BLIND_SECONDS = 2.0
_SYNC_SECONDS = 10.0


class Namespace:
    """What is watched. Reading costs no request. Without queues Kueue is not asked: it need not be there."""

    def __init__(self, cluster: Cluster, has_queues: bool, metrics: Metrics) -> None:
        self.jobs = Watched(cluster, JOBS, SELECTOR, trim_job, _attempt)
        self.pods = Watched(cluster, PODS, SELECTOR, trim_pod, _attempt, keeps_gone=True)
        # Kept for people and diagnoses: nothing waits for them, and a cluster that refuses them is seen all the same.
        self._events = Watched(cluster, EVENTS, "", trim_event, _about, has_bookmarks=False)
        self._nodes = Watched(cluster, NODES, "", trim_node, _name)
        self._workloads = Watched(cluster, WORKLOADS, "", trim_workload, _owner)
        self._has_queues = has_queues
        further = (self._workloads,) if has_queues else ()
        self._watched = (self.jobs, self.pods, self._events, self._nodes, *further)
        self._patient_until = 0.0
        self._be_measured(metrics)

    def tell(self, told: Callable[[str], None]) -> None:
        """Have `told` called with the attempt of every Job and pod that changes."""
        self.jobs.tell(told)
        self.pods.tell(told)

    def _be_measured(self, metrics: Metrics) -> None:
        metrics.blind_seconds.set_function(lambda: self.blind_seconds)
        for watched in self._watched:
            watched.count(lambda reason: metrics.relists.labels(reason).inc())
            metrics.watch_age.labels(watched.name).set_function(lambda watched=watched: watched.age_seconds)  # type: ignore[misc]

    def start(self) -> None:
        self._patient_until = time.monotonic() + _SYNC_SECONDS
        for watched in self._watched:
            watched.start()

    def stop(self) -> None:
        for watched in self._watched:
            watched.stop()

    def is_seen(self) -> bool:
        """Whether what is here can be relied on now. Just after the start it waits a moment for the first list."""
        seconds = max(0.0, self._patient_until - time.monotonic())
        if self._has_queues:
            # What Kueue says is for people, and worth the moment alone.
            self._workloads.await_sync(seconds)
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

    def workload(self, attempt: str) -> Json | None:
        """What Kueue keeps of the attempt's Job: empty if that is nothing, None where we cannot see it now."""
        if self._workloads.blind_seconds:
            return None
        kept = max(self._workloads.of(attempt), key=_created, default=None)
        return kept.body if kept else {}

    def size(self, attempt: str) -> int:
        """How many pods the attempt has, as far as that is known."""
        job = self.job(attempt)
        if job is not None:
            return int(job["spec"]["completions"])
        return 1 + max((rank_of(kept.body) for kept in self.pods.of(attempt)), default=0)

    def pods_so_far(self, attempt: str) -> list[Json]:
        """Every pod of the attempt that was seen, as it was seen last."""
        return [kept.body for kept in self.pods.of(attempt)]

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


def _created(kept: Kept) -> str:
    return str(kept.body["metadata"]["creationTimestamp"])


def _attempt(body: Json) -> str:
    return str(body["metadata"].get("labels", {}).get(ATTEMPT, ""))


def _name(body: Json) -> str:
    return str(body["metadata"]["name"])


def _owner(body: Json) -> str:
    return next((str(one["name"]) for one in body["metadata"]["ownerReferences"] if one["kind"] == "Job"), "")


def _about(event: Json) -> str:
    return str(event["involvedObject"].get("name", ""))
