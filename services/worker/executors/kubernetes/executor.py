"""`Executor` over Kubernetes Jobs. What it knows, it reads from what is watched; it asks the cluster only to change it.

An attempt costs two requests, its Job and its Secret; Jobs are deleted many at a time. All state is in the cluster, so
executors may die and be replaced at any line, and two of them at once make no second Job.
"""

import time
from collections.abc import Callable, Sequence
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
from services.worker.executors.kubernetes.removals import Removals
from services.worker.executors.kubernetes.rooms import rooms_of
from services.worker.executors.kubernetes.stopping import Stopping
from services.worker.executors.kubernetes.valves import Limits, Valves

log = structlog.get_logger()

_TOLD_AFTER_SECONDS = 30.0
_LONGEST_NAME = 52


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
        self._namespace = Namespace(cluster, any(pool.queue for pool in pools.pools), metrics)
        self._stopping = Stopping(cluster, self._namespace)
        self._has_token: set[str] = set()
        self._put_off = PutOff()
        self._removals = Removals(cluster, metrics)

    def start(self) -> None:
        self._namespace.start()

    def stop(self) -> None:
        self._removals.stop()
        self._namespace.stop()
        self._cluster.close()

    def submit(self, spec: AttemptSpec) -> None:
        """See `Executor`. Raises `Held` while a valve is closed or the cluster refuses, and `Conflict` where a Job of
        that name does other work."""
        if len(spec.attempt) > _LONGEST_NAME:
            raise BadRequest(f"an attempt's name has at most {_LONGEST_NAME} characters", field="attempt")
        self._removals.settle(spec.attempt, self._namespace.attempts)
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
        return Observed(attempt, Phase.ABSENT) if attempt in self._removals else self._look(attempt)

    def cancel(self, attempt: str) -> None:
        """See `Executor`. One request ends it at any stage."""
        self._put_off.forget(attempt)
        job = self._namespace.job(attempt)
        if job is None or self._look(attempt).phase.is_over:
            return
        self._stopping.stop(attempt, job)

    def watch(self, told: Callable[[str], None]) -> None:
        """See `Executor`. Every change of a Job or a pod is told."""
        self._namespace.tell(told)

    def list(self) -> Sequence[str]:
        """See `Executor`. Also sends the removals since the last call, and removes what may not start again."""
        self._removals.send()
        if not self._namespace.is_seen():
            return []
        self._namespace.tidy()
        self._put_off.forget_old()
        there = self._namespace.attempts()
        self._has_token &= there
        staying = self._removals.staying(there)
        for attempt in staying:
            self._stopping.keep_from_starting_again(attempt)
        return staying

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
        self._removals.add(attempt)

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
        events, workload = self._namespace.events(attempt, rank), self._namespace.workload(attempt)
        case = case_of(seen, job, body, events, is_gone, now, rank, workload)
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
        pool, secrets = self._pools.named(spec.pool), self._pools.secrets_of(spec.secrets)
        if pool is None or secrets is None:
            what = f"pool named {spec.pool!r}" if pool is None else f"secret for each of {', '.join(spec.secrets)}"
            raise self._put_off.hold(spec.attempt, f"there is no {what} any more: put it back into the pools file")
        held = self._valves.enter(tenant, self._namespace.in_flight)
        if held is not None:
            raise self._put_off.hold(spec.attempt, held)
        try:
            body = manifest.job(spec, pool, self._terms, secrets)
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


def _check_same(spec: AttemptSpec, job: Json) -> None:
    found = (job["metadata"].get("annotations") or {}).get(manifest.SPEC_HASH)
    if found != manifest.spec_sha256(spec):
        raise Conflict(f"a Job named {spec.attempt} is there, and it does other work; remove it or use another name")
