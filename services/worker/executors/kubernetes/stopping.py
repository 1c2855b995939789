"""Bringing a Job to its end, so that nothing of it starts again.

A suspended Job has no pods, and gets none: that ends one at any stage, and leaves it as a record of who ended it. Of a
queue of Kueue this is not so, for Kueue lets a suspended Job start when there is quota.
"""

import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import assert_never

import structlog

from services.worker.executors.kubernetes.case import has_begun, queue_of, seconds
from services.worker.executors.kubernetes.client import JOBS, PODS, Cluster, ClusterUnreachable, Json, Refused
from services.worker.executors.kubernetes.manifest import CANCELLED_AT, DRAIN_SECONDS
from services.worker.executors.kubernetes.namespace import Namespace
from services.worker.executors.kubernetes.reading import cancel_time, is_finished

log = structlog.get_logger()

# A pod whose program should have ended so long ago is taken off its node, whatever it still has to say.
_FORCE_SECONDS = 120.0


class Stop(Enum):
    """What to ask of the cluster."""

    SUSPEND = auto()
    # The Job controller ends its pods and then fails it, which Kueue takes for its end too.
    EXPIRE = auto()
    DELETE = auto()
    # All is asked that can be: pods that stay nevertheless are taken off their nodes.
    INSIST = auto()


def stop_of(job: Json, pods: Sequence[Json]) -> Stop:
    """The next thing to do about a Job that has to end. `pods`: those of it that are there. Pure."""
    if "deletionTimestamp" in job["metadata"]:
        return Stop.INSIST
    if queue_of(job) and (job["spec"]["suspend"] or not pods):
        return Stop.DELETE
    if cancel_time(job) is not None:
        return Stop.INSIST
    return Stop.EXPIRE if queue_of(job) else Stop.SUSPEND


def must_go(job: Json, pods: Sequence[Json]) -> bool:
    """Whether the Job could start again and may not: it is suspended, not by us, and a pod of it has begun, so that the
    program of another would not run. `pods`: all that it had. Pure."""
    is_ours = cancel_time(job) is not None or "deletionTimestamp" in job["metadata"]
    return bool(job["spec"]["suspend"]) and not is_ours and not is_finished(job) and any(map(has_begun, pods))


class Stopping:
    """The requests that end Jobs. What cannot be asked now is asked again in the next round."""

    def __init__(self, cluster: Cluster, namespace: Namespace) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def stop(self, attempt: str, job: Json) -> None:
        """Have it end for good, in one request whatever its stage."""
        pods = self._namespace.present_pods(attempt)
        try:
            match stop_of(job, pods):
                case Stop.SUSPEND:
                    self._cancel(attempt, {"suspend": True})
                case Stop.EXPIRE:
                    self._cancel(attempt, {"activeDeadlineSeconds": 1})
                case Stop.DELETE:
                    self._cluster.delete(JOBS, attempt, propagation="Foreground" if pods else "Background")
                    log.info("job_cancelled", attempt=attempt)
                case Stop.INSIST:
                    self.force(attempt, cancel_time(job) or seconds(job["metadata"].get("deletionTimestamp")) or 0.0)
                case stop:
                    assert_never(stop)
        except (Refused, ClusterUnreachable) as error:
            log.warning("cancel_not_sent", attempt=attempt, why=str(error))

    def keep_from_starting_again(self, attempt: str) -> None:
        """Delete the Job if somebody else has suspended it, and its program may not run twice."""
        job = self._namespace.job(attempt)
        if job is None or not must_go(job, self._namespace.pods_so_far(attempt)):
            return
        try:
            self._cluster.delete(JOBS, attempt, propagation="Foreground")
            log.info("suspended_job_deleted", attempt=attempt)
        except (Refused, ClusterUnreachable) as error:
            log.warning("suspended_job_not_deleted", attempt=attempt, why=str(error))

    def force(self, attempt: str, asked_at: float) -> None:
        """Take its pods off their nodes that should have ended since `asked_at`, in seconds since the epoch."""
        for pod in self._namespace.present_pods(attempt):
            grace = pod["spec"].get("terminationGracePeriodSeconds", 0) - DRAIN_SECONDS
            if time.time() > asked_at + grace + _FORCE_SECONDS:
                self._cluster.delete(PODS, pod["metadata"]["name"], grace=0)
                log.warning("pod_forced", attempt=attempt)

    def _cancel(self, attempt: str, spec: Json) -> None:
        annotations = {CANCELLED_AT: f"{time.time():.3f}"}
        body = self._cluster.patch(JOBS, attempt, {"metadata": {"annotations": annotations}, "spec": spec})
        if body is not None:
            self._namespace.jobs.put(body)
        log.info("job_cancelled", attempt=attempt)
