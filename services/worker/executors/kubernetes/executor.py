"""`Executor` over Kubernetes Jobs. What it knows, it reads from what is watched; it asks the cluster only to change it.

An attempt costs two requests, its Job and its Secret; Jobs are deleted many at a time. All state is in the cluster, so
executors may die and be replaced at any line, and two of them at once make no second Job.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import structlog

from services.core.errors import BadRequest, Conflict
from services.core.faults import reach
from services.core.pool_states import Room
from services.core.pools import Pools
from services.core.records import Stage
from services.worker.executors import AttemptBusy, AttemptSpec, Held, Observed, Phase, Remains
from services.worker.executors.kubernetes import manifest
from services.worker.executors.kubernetes.case import Case
from services.worker.executors.kubernetes.client import (
    JOBS,
    PODS,
    SECRETS,
    SERVICES,
    Cluster,
    ClusterUnreachable,
    Json,
    Kind,
    Refused,
)
from services.worker.executors.kubernetes.copies import remains_of
from services.worker.executors.kubernetes.metrics import Metrics
from services.worker.executors.kubernetes.namespace import Namespace
from services.worker.executors.kubernetes.put_off import PutOff
from services.worker.executors.kubernetes.ranks import Rank, as_one
from services.worker.executors.kubernetes.reading import (
    cancel_time,
    case_of,
    container,
    explained,
    is_finished,
    is_pod_over,
    observe,
)
from services.worker.executors.kubernetes.rooms import rooms_of
from services.worker.executors.kubernetes.valves import Limits, Valves

log = structlog.get_logger()

_TOLD_AFTER_SECONDS = 30.0
_LONGEST_NAME = 52
_MOST_AT_ONCE = 50
# A cancelled pod whose program should have ended so long ago is taken off its node, whatever it still has to say.
_FORCE_SECONDS = 120.0


class KubernetesExecutor:
    """`Executor` in one namespace of one cluster, which no other install uses. Threads may share it."""

    def __init__(
        self,
        cluster: Cluster,
        pools: Pools,
        terms: manifest.PodTerms,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._cluster = cluster
        self._pools = pools
        self._terms = terms
        self._metrics = metrics
        self._valves = Valves(limits, metrics)
        self._namespace = Namespace(cluster)
        self._lock = threading.Lock()
        self._has_token: set[str] = set()
        self._put_off = PutOff()
        self._going: set[str] = set()
        self._unsent: set[str] = set()

    def start(self) -> None:
        self._namespace.start()

    def stop(self) -> None:
        self._flush()
        self._namespace.stop()
        self._cluster.close()

    def submit(self, spec: AttemptSpec) -> None:
        """See `Executor`. Raises `Held` while a valve is closed or the cluster refuses, and `Conflict` where a Job of
        that name does other work."""
        if len(spec.attempt) > _LONGEST_NAME:
            raise BadRequest(f"an attempt's name has at most {_LONGEST_NAME} characters", field="attempt")
        self._settle_removal(spec.attempt)
        self._put_off.check(spec.attempt)
        try:
            job = self._namespace.job(spec.attempt) or self._create(spec)
            _check_same(spec, job)
            self._give_token(spec, job)
        except Refused as error:
            log.warning("attempt_refused", attempt=spec.attempt, why=str(error))
            self._put_off.deny(spec.attempt, error.status, error.said, error.kind)
            raise Held(str(error)) from error
        except ClusterUnreachable as error:
            raise Held(str(error)) from error
        self._put_off.forget(spec.attempt)

    def inspect(self, attempt: str) -> Observed:
        """See `Executor`."""
        if not self._namespace.is_seen():
            # A short silence is nothing to tell of.
            stage = Stage.UNKNOWN if self._namespace.blind_seconds > _TOLD_AFTER_SECONDS else None
            return Observed(attempt, Phase.UNKNOWN, stage=stage, detail=self._namespace.trouble)
        with self._lock:
            if attempt in self._going:
                return Observed(attempt, Phase.ABSENT)
        return self._look(attempt)

    def cancel(self, attempt: str) -> None:
        """See `Executor`. One request ends it at any stage: a suspended Job has no pods, and gets none."""
        self._put_off.forget(attempt)
        job = self._namespace.job(attempt)
        if job is None or self._look(attempt).phase.is_over:
            return
        try:
            cancelled_at = cancel_time(job)
            if cancelled_at is None:
                self._suspend(attempt, job)
            else:
                self._force(attempt, cancelled_at)
        except (Refused, ClusterUnreachable) as error:
            # Asked again in the next round.
            log.warning("cancel_not_sent", attempt=attempt, why=str(error))

    def list(self) -> Sequence[Observed]:
        """See `Executor`. Also sends the removals since the last call."""
        self._flush()
        self._metrics.blind_seconds.set(self._namespace.blind_seconds)
        if not self._namespace.is_seen():
            return []
        self._namespace.tidy()
        self._put_off.forget_old()
        there = self._namespace.attempts()
        with self._lock:
            self._going &= there
            self._has_token &= there
            shown = sorted(there - self._going)
        return [self._look(attempt) for attempt in shown]

    def remains(self, attempt: str, rank: int = 0) -> Remains | None:
        """See `Executor`."""
        seen, case = self._look_at(attempt, rank if self._namespace.size(attempt) > 1 else None)
        return remains_of(self._cluster, seen, case)

    def rooms(self) -> Sequence[Room]:
        """See `Executor`. Nothing, where the nodes cannot be seen."""
        nodes = self._namespace.nodes()
        pods = [kept.body for kept in self._namespace.pods.all() if not kept.is_gone]
        return [] if nodes is None else rooms_of(self._pools, nodes, pods)

    def remove(self, attempt: str) -> None:
        """See `Executor`. The Job goes with the next `list`, together with others."""
        if attempt not in self._namespace.attempts():
            return
        seen = self.inspect(attempt)
        if not seen.phase.is_over or seen.lingers or self._namespace.is_shipping(attempt):
            raise AttemptBusy(f"attempt {attempt} is {seen.phase}; cancel it or wait before removing it")
        with self._lock:
            self._going.add(attempt)
            self._unsent.add(attempt)
            is_full = len(self._unsent) >= _MOST_AT_ONCE
        if is_full:
            self._flush()

    def _look(self, attempt: str) -> Observed:
        """The attempt as what is watched shows it, with where it stands and what is wrong with it."""
        nodes = self._namespace.size(attempt)
        if nodes > 1:
            seen = as_one(attempt, [Rank(rank, *self._look_at(attempt, rank)) for rank in range(nodes)])
        else:
            seen, _ = self._look_at(attempt, None)
        return self._put_off.look(attempt, seen)

    def _look_at(self, attempt: str, rank: int | None) -> tuple[Observed, Case]:
        """One pod of the attempt, the only one if `rank` is None: how it is seen, and all that is known of it."""
        now = time.time()
        job, pod = self._namespace.job(attempt), self._namespace.pod(attempt, rank)
        body, is_gone = (pod.body, pod.is_gone) if pod else (None, False)
        seen = observe(attempt, job, body, is_gone, now)
        if seen.phase is Phase.ABSENT:
            return seen, Case(now, rank=rank)
        case = case_of(seen, job, body, self._namespace.events(attempt, rank), is_gone, now, rank)
        seen = explained(seen, case)
        is_tended = seen.phase is not Phase.STARTING or self._is_tended(attempt, body)
        # The scheduler counts a pod's GPUs until all of its containers have ended, the sidecar too.
        lingers = seen.phase is Phase.FINISHED and body is not None and not (is_gone or is_pod_over(body))
        return replace(seen, tended=is_tended, lingers=lingers), case

    def _is_tended(self, attempt: str, pod: Json | None) -> bool:
        """Whether the token is where the pod waits for it: who made the Job may have died before the Secret."""
        if attempt in self._has_token:
            return True
        laying = container(pod, manifest.LAY).get("state") or {} if pod else {}
        return "running" in laying or "terminated" in laying

    def _create(self, spec: AttemptSpec) -> Json:
        """Make the Job, or find the one that is there."""
        tenant = manifest.label(spec.tenant)
        pool = self._pools.named(spec.pool)
        if pool is None:
            text = f"there is no pool named {spec.pool!r} any more: put it back into the pools file"
            raise self._put_off.hold(spec.attempt, text)
        held = self._valves.enter(tenant, self._namespace.in_flight)
        if held is not None:
            raise self._put_off.hold(spec.attempt, held)
        try:
            body = manifest.job(spec, pool, self._terms)
            job = self._cluster.create(JOBS, body)
            self._metrics.created.inc()
            log.info("job_created", attempt=spec.attempt, pool=spec.pool)
            reach("executor.job_created")
        except Refused as error:
            found = self._cluster.get(JOBS, spec.attempt) if error.is_there else None
            if found is None:
                raise
            job = found
        finally:
            self._valves.leave(tenant)
        self._namespace.jobs.put(job)
        return job

    def _give_token(self, spec: AttemptSpec, job: Json) -> None:
        if spec.attempt in self._has_token or is_finished(job) or cancel_time(job) is not None:
            return
        uid = job["metadata"]["uid"]
        if spec.resources.nodes > 1:
            # Before the token: no program starts without that, and every one that does finds the others.
            self._create_unless_there(SERVICES, manifest.service(spec, uid))
            reach("executor.service_created")
        self._create_unless_there(SECRETS, manifest.secret(spec, uid))
        reach("executor.secret_created")
        self._has_token.add(spec.attempt)

    def _create_unless_there(self, kind: Kind, body: Json) -> None:
        try:
            self._cluster.create(kind, body)
        except Refused as error:
            if not error.is_there:
                raise

    def _suspend(self, attempt: str, job: Json) -> None:
        if manifest.QUEUE in job["metadata"]["labels"]:
            # Kueue lets a suspended Job of its queue start again.
            self._cluster.delete(JOBS, attempt, propagation="Foreground")
            return
        annotations = {manifest.CANCELLED_AT: f"{time.time():.3f}"}
        body = self._cluster.patch(JOBS, attempt, {"metadata": {"annotations": annotations}, "spec": {"suspend": True}})
        if body is not None:
            self._namespace.jobs.put(body)
        log.info("job_cancelled", attempt=attempt)

    def _force(self, attempt: str, cancelled_at: float) -> None:
        for pod in self._namespace.present_pods(attempt):
            grace = pod["spec"].get("terminationGracePeriodSeconds", 0) - manifest.DRAIN_SECONDS
            if time.time() > cancelled_at + grace + _FORCE_SECONDS:
                self._cluster.delete(PODS, pod["metadata"]["name"], grace=0)
                log.warning("pod_forced", attempt=attempt)

    def _settle_removal(self, attempt: str) -> None:
        """A name that was removed is free once the Job is gone from the cluster."""
        with self._lock:
            if attempt not in self._going:
                return
        self._flush()
        if attempt in self._namespace.attempts():
            raise Held("the Job of that name is being deleted")
        with self._lock:
            self._going.discard(attempt)

    def _flush(self) -> None:
        with self._lock:
            names = sorted(self._unsent)
            self._unsent.clear()
        while names:
            batch, names = names[:_MOST_AT_ONCE], names[_MOST_AT_ONCE:]
            try:
                self._cluster.delete_all(JOBS, f"{manifest.ATTEMPT} in ({','.join(batch)})")
                self._metrics.removed.inc(len(batch))
            except (Refused, ClusterUnreachable) as error:
                log.warning("jobs_not_removed", count=len(batch), why=str(error))
                with self._lock:
                    self._unsent.update(batch)
                    names = []


def _check_same(spec: AttemptSpec, job: Json) -> None:
    found = (job["metadata"].get("annotations") or {}).get(manifest.SPEC_HASH)
    if found != manifest.spec_sha256(spec):
        raise Conflict(f"a Job named {spec.attempt} is there, and it does other work; remove it or use another name")
