"""What the cluster does, as somebody sees it who has nothing to do with the controller: every Job, every pod."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from services.worker.executors.kubernetes.client import JOBS, PODS, Cluster, ClusterUnreachable, Kind, Refused
from services.worker.executors.kubernetes.manifest import ATTEMPT, SELECTOR, TENANT

Json = dict[str, Any]

_GPU = "nvidia.com/gpu"
_WATCH_SECONDS = 600
_PAUSE_SECONDS = 1.0
_OVER = {"Succeeded", "Failed"}


@dataclass
class Sight:
    """One name: the objects that had it, when the first was seen, when the last went or was told to."""

    uids: set[str] = field(default_factory=set)
    came: float = 0.0
    told_to_go: float | None = None
    is_there: bool = True


class Watch:
    """Sees Jobs and pods by attempt. `told` gets every pod that is there, each time something about it changes."""

    def __init__(self, cluster: Cluster, told: Callable[[Json], None]) -> None:
        self.jobs: dict[str, Sight] = {}
        self.pods: dict[str, Sight] = {}
        self.most_gpus: Counter[str] = Counter()
        self.gaps = 0
        self._gpus: dict[str, tuple[str, int]] = {}
        self._cluster = cluster
        self._told = told
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        follow = ((JOBS, self.jobs, self._job), (PODS, self.pods, self._pod))
        self._threads = [threading.Thread(target=self._follow, args=one, daemon=True) for one in follow]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """The threads end with their watches, or with the process."""
        self._stopped.set()

    def jobs_there(self) -> list[str]:
        return self._there(self.jobs)

    def pods_there(self) -> list[str]:
        return self._there(self.pods)

    def _there(self, known: dict[str, Sight]) -> list[str]:
        with self._lock:
            return [name for name, sight in known.items() if sight.is_there]

    def doubled(self) -> list[str]:
        """Attempts that had more than one Job or more than one pod."""
        return [name for kind in (self.jobs, self.pods) for name, sight in kind.items() if len(sight.uids) > 1]

    def _follow(self, kind: Kind, known: dict[str, Sight], see: Callable[[str, Json], None]) -> None:
        while not self._stopped.is_set():
            try:
                for change, body in self._changes(kind, known):
                    if change != "BOOKMARK":
                        with self._lock:
                            see(change, body)
                    if self._stopped.is_set():
                        return
            except (ClusterUnreachable, Refused):
                # What happened meanwhile was not seen: the figures say how often.
                self.gaps += 1
                self._stopped.wait(_PAUSE_SECONDS)

    def _changes(self, kind: Kind, known: dict[str, Sight]) -> Iterator[tuple[str, Json]]:
        listed = self._cluster.list(kind, SELECTOR)
        there = {body["metadata"]["labels"][ATTEMPT] for body in listed.objects}
        for name in known.keys() - there:
            known[name].is_there = False
        if kind == PODS:
            uids = {body["metadata"]["uid"] for body in listed.objects}
            self._gpus = {uid: held for uid, held in self._gpus.items() if uid in uids}
        yield from (("ADDED", body) for body in listed.objects)
        version = listed.version
        while True:
            with closing(self._cluster.watch(kind, version, _WATCH_SECONDS, SELECTOR)) as stream:
                for change, body in stream:
                    version = body["metadata"]["resourceVersion"]
                    yield change, body

    def _job(self, change: str, body: Json) -> None:
        sight = _seen(self.jobs, change, body)
        if body["spec"].get("suspend") and sight.told_to_go is None:
            sight.told_to_go = time.time()

    def _pod(self, change: str, body: Json) -> None:
        sight = _seen(self.pods, change, body)
        if body["metadata"].get("deletionTimestamp") and sight.told_to_go is None:
            sight.told_to_go = time.time()
        uid, tenant = body["metadata"]["uid"], body["metadata"]["labels"][TENANT]
        if change == "DELETED" or body.get("status", {}).get("phase") in _OVER:
            self._gpus.pop(uid, None)
        else:
            self._gpus[uid] = (tenant, _gpus_of(body))
        self.most_gpus |= Counter({tenant: sum(gpus for owner, gpus in self._gpus.values() if owner == tenant)})
        if change != "DELETED":
            self._told(body)


def _seen(kind: dict[str, Sight], change: str, body: Json) -> Sight:
    sight = kind.setdefault(body["metadata"]["labels"][ATTEMPT], Sight(came=time.time()))
    sight.uids.add(body["metadata"]["uid"])
    sight.is_there = change != "DELETED"
    return sight


def _gpus_of(pod: Json) -> int:
    return sum(int(one.get("resources", {}).get("limits", {}).get(_GPU, 0)) for one in pod["spec"]["containers"])
