"""Jobs that are being deleted: many with one request, and their names free only once they are gone.

A request that deletes many takes the cluster its time, a minute where that is busy: nobody waits for it.
"""

import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from services.worker.executors import Held
from services.worker.executors.kubernetes.client import JOBS, Cluster, ClusterUnreachable, Refused
from services.worker.executors.kubernetes.manifest import ATTEMPT
from services.worker.executors.kubernetes.metrics import Metrics

log = structlog.get_logger()

_MOST_AT_ONCE = 25


class Removals:
    """The attempts of one executor whose Jobs are to go. Threads may share it."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._lock = threading.Lock()
        self._going: set[str] = set()
        self._unsent: set[str] = set()
        self._hand = ThreadPoolExecutor(1, "removals")
        self._sending: Future[None] | None = None

    def __contains__(self, attempt: str) -> bool:
        with self._lock:
            return attempt in self._going

    def add(self, attempt: str) -> None:
        """Have the attempt's Job go with the next `send`."""
        with self._lock:
            self._going.add(attempt)
            self._unsent.add(attempt)

    def settle(self, attempt: str, there: Callable[[], Collection[str]]) -> None:
        """The attempt's name is wanted again. `there`: the attempts that the cluster has. Raises `Held` while it has
        this one."""
        if attempt not in self:
            return
        self.send()
        if attempt in there():
            raise Held("the Job of that name is being deleted")
        with self._lock:
            self._going.discard(attempt)

    def staying(self, there: Collection[str]) -> list[str]:
        """Of the attempts that the cluster has those that do not go, in order. Forgets what is gone."""
        with self._lock:
            self._going.intersection_update(there)
            return sorted(set(there) - self._going)

    def send(self) -> None:
        """Begin to delete what was not deleted yet, unless that goes on already. What cannot be now is tried again with
        the next call."""
        with self._lock:
            is_idle = self._sending is None or self._sending.done()
            if self._unsent and is_idle:
                self._sending = self._hand.submit(self._send)

    def stop(self) -> None:
        """Delete what was not deleted yet, and wait for that."""
        self._hand.submit(self._send)
        self._hand.shutdown()

    def _send(self) -> None:
        while batch := self._next():
            try:
                self._cluster.delete_all(JOBS, f"{ATTEMPT} in ({','.join(batch)})")
                self._metrics.removed.inc(len(batch))
            except (Refused, ClusterUnreachable) as error:
                log.warning("jobs_not_removed", count=len(batch), why=str(error))
                with self._lock:
                    self._unsent.update(batch)
                return

    def _next(self) -> list[str]:
        with self._lock:
            batch = sorted(self._unsent)[:_MOST_AT_ONCE]
            self._unsent.difference_update(batch)
        return batch
