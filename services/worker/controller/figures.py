"""What the controller tells Prometheus of all runs, tenants and pools, and of the Redis that holds them.

Redis is asked at each scrape, so who stands by tells the same as who leads. While it is away there are no values, which
is better than old ones.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import structlog

from services.core.errors import StoreUnavailable
from services.core.lifecycle import Status
from services.core.monitoring.instruments import Reading, Registry
from services.core.monitoring.series import OTHER, Series, gauge
from services.core.pool_states import STAGES, Published
from services.core.pools import Pools
from services.core.records import MICRODOLLARS
from services.worker.controller.survey import Survey

log = structlog.get_logger()

REDIS_UP = gauge("cohort_redis_up", "1 where the Redis that holds the state answered this scrape, else 0.")
STATE_READ_SECONDS = gauge("cohort_state_read_seconds", "How long it took to read what this scrape tells of Redis.")
RUNS = gauge("cohort_runs", "Runs that are not over.", "status")
RUNS_READY = gauge("cohort_runs_ready", "Runs that are due and that no worker holds.")
RUNS_DUE_LAG_SECONDS = gauge(
    "cohort_runs_due_lag_seconds", "Since when the longest due of them has been so; 0 where there is none."
)
RUNS_QUEUED_OLDEST_SECONDS = gauge(
    "cohort_runs_queued_oldest_seconds",
    "The age of the oldest run that no worker has taken yet; 0 where there is none.",
)
RUNS_UNARCHIVED = gauge("cohort_runs_unarchived", "Runs that ended and are not in the archive yet.")
HINTS_BACKLOG = gauge("cohort_hints_backlog", "Hints in the workers' queue.")
ATTEMPTS_LIVE = gauge("cohort_attempts_live", "Attempts that are not over.")
ATTEMPTS = gauge("cohort_attempts", "The same by pool and stage, as the leader's last round saw them.", "pool", "stage")
POOL_GPUS = gauge(
    "cohort_pool_gpus",
    "GPUs of a pool: `capacity`, the most it can grow to; `allocated`, of attempts that have a node; where nodes are "
    "seen, those `present` and those `free`.",
    "pool",
    "state",
)
POOL_WAITING = gauge("cohort_pool_waiting", "Attempts that wait for a node of the pool.", "pool")
POOL_PRICE = gauge(
    "cohort_pool_price_dollars_per_hour", "Of one GPU of the pool, or of one pod where it has none.", "pool"
)
TENANT_RUNS = gauge("cohort_tenant_runs", "A tenant's runs that are not over.", "tenant", "status")
TENANT_GPUS = gauge("cohort_tenant_gpus", "GPUs of a tenant's attempts that have a node.", "tenant")
TENANT_GPUS_WAITING = gauge("cohort_tenant_gpus_waiting", "GPUs that a tenant's attempts wait for.", "tenant")
TENANT_GPU_QUOTA = gauge(
    "cohort_tenant_gpu_quota", "GPUs that a tenant may hold at one moment; none where there is no bound.", "tenant"
)
TENANT_DOLLARS = gauge(
    "cohort_tenant_dollars",
    "A tenant's money, over all its runs: `spent`, `reserved`, and its `cap` where there is one.",
    "tenant",
    "kind",
)
REDIS_MEMORY_BYTES = gauge("cohort_redis_memory_bytes", "Memory that Redis uses.")
REDIS_MEMORY_LIMIT_BYTES = gauge("cohort_redis_memory_limit_bytes", "Memory that Redis may use; 0: no bound.")
REDIS_AOF_OK = gauge("cohort_redis_aof_ok", "1 where Redis keeps an append-only file and its last write worked.")
REDIS_CONNECTED_CLIENTS = gauge("cohort_redis_connected_clients", "Connections to Redis.")

ALL = (
    REDIS_UP,
    STATE_READ_SECONDS,
    RUNS,
    RUNS_READY,
    RUNS_DUE_LAG_SECONDS,
    RUNS_QUEUED_OLDEST_SECONDS,
    RUNS_UNARCHIVED,
    HINTS_BACKLOG,
    ATTEMPTS_LIVE,
    ATTEMPTS,
    POOL_GPUS,
    POOL_WAITING,
    POOL_PRICE,
    TENANT_RUNS,
    TENANT_GPUS,
    TENANT_GPUS_WAITING,
    TENANT_GPU_QUOTA,
    TENANT_DOLLARS,
    REDIS_MEMORY_BYTES,
    REDIS_MEMORY_LIMIT_BYTES,
    REDIS_AOF_OK,
    REDIS_CONNECTED_CLIENTS,
)
LIVE = tuple(status for status in Status if not status.is_final)
# What the leader saw so long ago is nothing to go by.
_STALE_SECONDS = 600.0

Values = list[tuple[tuple[str, ...], float]]


def tell_state(
    registry: Registry, pools: Pools, look: Callable[[float], Survey], backlog: Callable[[], int | None]
) -> None:
    """Have every scrape of the registry read the state: `look` says what Redis holds at a moment, and `backlog` how
    many hints wait, None where that is not known. Raises nothing at the scrape."""

    def read() -> Reading:
        began, now = time.monotonic(), time.time()
        try:
            found = figures(look(now), pools, now)
        except StoreUnavailable as error:
            log.warning("state_not_read", error=str(error))
            return {REDIS_UP: _one(0)}
        except Exception:
            # The edge of the state: the process's other series must not go with it.
            log.exception("state_not_read")
            return {}
        if (waiting := backlog()) is not None:
            found[HINTS_BACKLOG] = _one(waiting)
        return {**found, REDIS_UP: _one(1), STATE_READ_SECONDS: _one(time.monotonic() - began)}

    registry.read(ALL, read)


def figures(seen: Survey, pools: Pools, now: float) -> dict[Series, Values]:
    """The values that follow from what was seen at `now`. Pure."""
    queued = [run.created for run in seen.live if run.status is Status.QUEUED]
    statuses = Counter(run.status for run in seen.live)
    return {
        RUNS: [((status,), statuses[status]) for status in LIVE],
        RUNS_READY: _one(seen.waiting),
        RUNS_DUE_LAG_SECONDS: _one(_age(seen.due_since, now)),
        RUNS_QUEUED_OLDEST_SECONDS: _one(_age(min(queued, default=None), now)),
        RUNS_UNARCHIVED: _one(seen.unarchived),
        ATTEMPTS_LIVE: _one(seen.attempts),
        **_tenants(seen, pools),
        **_pools(pools),
        **_published(seen, pools, now),
        **_redis(seen),
    }


def _tenants(seen: Survey, pools: Pools) -> dict[Series, Values]:
    runs = Counter((run.tenant if run.tenant in seen.tenants else OTHER, run.status) for run in seen.live)
    quotas = {tenant: pools.quota.of(tenant) for tenant in seen.tenants}
    return {
        TENANT_RUNS: [((tenant, status), runs[tenant, status]) for tenant in _labels(seen) for status in LIVE],
        TENANT_GPU_QUOTA: [((tenant,), quota) for tenant, quota in quotas.items() if quota is not None],
        TENANT_DOLLARS: [
            ((tenant, kind), microdollars / MICRODOLLARS)
            for tenant, account in seen.tenants.items()
            for kind, microdollars in account._asdict().items()
            if microdollars is not None
        ],
    }


def _pools(pools: Pools) -> dict[Series, Values]:
    return {POOL_PRICE: [((pool.name,), pool.price_per_hour) for pool in pools.pools]}


def _published(seen: Survey, pools: Pools, now: float) -> dict[Series, Values]:
    """What follows from the leader's last round, if that is not long ago."""
    published = seen.published
    if published is None or now - published.time > _STALE_SECONDS:
        return {}
    attempts, waiting = Counter[tuple[str, ...]](), Counter[str]()
    held, wanted = Counter[str](), Counter[str]()
    for one in published.census:
        attempts[one.pool, one.stage] += one.attempts
        waiting[one.pool] += 0 if one.has_node else one.attempts
        (held if one.has_node else wanted)[one.tenant if one.tenant in seen.tenants else OTHER] += one.gpus
    return {
        ATTEMPTS: [((pool.name, stage), attempts[pool.name, stage]) for pool in pools.pools for stage in STAGES],
        POOL_WAITING: [((pool.name,), waiting[pool.name]) for pool in pools.pools],
        POOL_GPUS: list(_gpus(published, pools)),
        TENANT_GPUS: [((tenant,), held[tenant]) for tenant in _labels(seen)],
        TENANT_GPUS_WAITING: [((tenant,), wanted[tenant]) for tenant in _labels(seen)],
    }


def _gpus(published: Published, pools: Pools) -> Iterator[tuple[tuple[str, ...], float]]:
    rooms = {room.name: room for room in published.pools}
    allocated = Counter[str]()
    for one in published.census:
        allocated[one.pool] += one.gpus if one.has_node else 0
    for pool in pools.pools:
        room = rooms.get(pool.name)
        seen = {
            "capacity": pool.nodes * pool.gpus_per_node,
            "allocated": allocated[pool.name],
            "present": room.gpus if room else None,
            "free": room.gpus_free if room else None,
        }
        yield from (((pool.name, state), gpus) for state, gpus in seen.items() if gpus is not None)


def _redis(seen: Survey) -> dict[Series, Values]:
    """Of all servers together. What a stand-in for Redis does not say is left out."""
    sums = {
        REDIS_MEMORY_BYTES: _total(seen.servers, "used_memory"),
        REDIS_MEMORY_LIMIT_BYTES: _total(seen.servers, "maxmemory"),
        REDIS_CONNECTED_CLIENTS: _total(seen.servers, "connected_clients"),
        REDIS_AOF_OK: _aof_ok(seen.servers),
    }
    return {series: _one(value) for series, value in sums.items() if value is not None}


def _total(servers: Iterable[Mapping[str, object]], name: str) -> float | None:
    found = [server.get(name) for server in servers]
    numbers = [float(value) for value in found if isinstance(value, int | float)]
    return sum(numbers) if found and len(numbers) == len(found) else None


def _aof_ok(servers: Iterable[Mapping[str, object]]) -> float | None:
    found = [(server.get("aof_enabled"), server.get("aof_last_write_status")) for server in servers]
    if not found or any(enabled is None for enabled, _ in found):
        return None
    return float(all(enabled == 1 and status == "ok" for enabled, status in found))


def _labels(seen: Survey) -> tuple[str, ...]:
    return (*seen.tenants, OTHER)


def _age(since: float | None, now: float) -> float:
    return 0.0 if since is None else max(0.0, now - since)


def _one(value: float) -> Values:
    return [((), value)]
