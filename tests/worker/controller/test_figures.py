"""The figures of all runs that a scrape of the controller brings."""

import time
from collections.abc import Callable

import pytest

from services.core.hints import CeleryHints, celery_app, queue_length
from services.core.ledger import Ledger
from services.core.lifecycle import Status
from services.core.live import LiveRun
from services.core.monitoring.instruments import Registry
from services.core.pool_states import Census, PoolState, Published
from services.core.pools import GpuQuota, Pool, Pools
from services.core.redis import connect
from services.core.version import VERSION
from services.worker.controller.figures import figures, tell_state
from services.worker.controller.survey import Account, Survey, survey
from tests.core.submitted import accept_run
from tests.servers import RedisServer
from tests.worker.controller.conftest import Control, go_round

NOW = 1_000_000.0
POOLS = Pools(
    pools=(Pool(name="cpu", price_per_hour=0.5), Pool(name="a100", gpus_per_node=8, nodes=4, price_per_hour=2.0)),
    quota=GpuQuota(gpus=None, tenants={"acme": 16}),
)
SERVER = {
    "redis_version": "7",
    "used_memory": 5,
    "maxmemory": 0,
    "connected_clients": 2,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
}


def census(tenant: str, stage: str, has_node: bool, gpus: int, pool: str = "a100") -> Census:
    return Census(tenant=tenant, pool=pool, stage=stage, has_node=has_node, attempts=1, gpus=gpus)


def seen(**changes: object) -> Survey:
    values = {
        "live": [],
        "waiting": 0,
        "due_since": None,
        "unarchived": 0,
        "attempts": 0,
        "tenants": {"acme": Account(1_500_000, 0, None)},
        "published": None,
        "servers": [SERVER],
        **changes,
    }
    return Survey(**values)  # type: ignore[arg-type]


def told(found: Survey, now: float = NOW, pools: Pools = POOLS) -> Callable[..., float | None]:
    """The values by name and the labels' values; None where there is none."""
    values = {
        (series.name, *labels): value for series, rows in figures(found, pools, now).items() for labels, value in rows
    }
    return lambda name, *labels: values.get((f"cohort_{name}", *labels))


# --- What follows from what is seen -----------------------------------------------------------------------------------


def test_runs_are_counted_by_status_and_by_tenant_and_every_status_is_there() -> None:
    live = [LiveRun(Status.QUEUED, NOW - 90, "acme"), LiveRun(Status.QUEUED, NOW - 30, "acme")]
    value = told(seen(live=[*live, LiveRun(Status.WAITING, NOW - 900, "somebody")], waiting=2, due_since=NOW - 12))
    assert (value("runs", "queued"), value("runs", "waiting"), value("runs", "cancelling")) == (2, 1, 0)
    assert value("runs", "succeeded") is None
    assert (value("tenant_runs", "acme", "queued"), value("tenant_runs", "acme", "running")) == (2, 0)
    assert (value("tenant_runs", "other", "waiting"), value("tenant_runs", "somebody", "waiting")) == (1, None)
    assert (value("runs_ready"), value("runs_due_lag_seconds"), value("runs_queued_oldest_seconds")) == (2, 12, 90)


def test_where_nothing_waits_nothing_is_late() -> None:
    value = told(seen())
    assert (value("runs_due_lag_seconds"), value("runs_queued_oldest_seconds")) == (0, 0)
    assert told(seen(due_since=NOW + 1))("runs_due_lag_seconds") == 0


def test_gpus_are_told_by_pool_and_by_who_pays() -> None:
    rooms = (PoolState(name="cpu"), PoolState(name="a100", gpus=24, gpus_free=12))
    counted = (
        census("acme", "running", True, 8),
        census("acme", "queued", False, 4),
        census("somebody", "pulling", True, 2),
        census("somebody", "submitted", False, 0, pool="cpu"),
    )
    value = told(seen(published=Published(time=NOW - 2, pools=rooms, census=counted)))
    states = {state: value("pool_gpus", "a100", state) for state in ("capacity", "present", "allocated", "free")}
    assert states == {"capacity": 32, "present": 24, "allocated": 10, "free": 12}
    assert (value("pool_gpus", "cpu", "capacity"), value("pool_gpus", "cpu", "free")) == (0, None)
    assert (value("pool_waiting", "a100"), value("pool_waiting", "cpu")) == (1, 1)
    assert (value("attempts", "a100", "running"), value("attempts", "cpu", "submitted")) == (1, 1)
    assert value("attempts", "cpu", "unknown") == 0
    assert (value("tenant_gpus", "acme"), value("tenant_gpus_waiting", "acme")) == (8, 4)
    assert (value("tenant_gpus", "other"), value("tenant_gpus_waiting", "other")) == (2, 0)


def test_what_a_leader_saw_long_ago_is_not_told() -> None:
    value = told(seen(published=Published(time=NOW - 3600, pools=(), census=(census("acme", "running", True, 8),))))
    assert value("pool_gpus", "a100", "allocated") is None
    assert value("tenant_gpus", "acme") is None
    assert value("pool_price_dollars_per_hour", "a100") == 2.0


def test_money_and_quotas_are_told_where_there_are_bounds() -> None:
    tenants = {"acme": Account(1_500_000, 250_000, 10_000_000), "free": Account(0, 0, None)}
    value = told(seen(tenants=tenants))
    kinds = {kind: value("tenant_dollars", "acme", kind) for kind in ("spent", "reserved", "cap")}
    assert kinds == {"spent": 1.5, "reserved": 0.25, "cap": 10.0}
    assert (value("tenant_dollars", "free", "spent"), value("tenant_dollars", "free", "cap")) == (0, None)
    assert (value("tenant_gpu_quota", "acme"), value("tenant_gpu_quota", "free")) == (16, None)


@pytest.mark.parametrize(
    ("server", "is_ok"),
    [
        ({}, 1),
        ({"aof_last_write_status": "err"}, 0),
        ({"aof_enabled": 0}, 0),
    ],
)
def test_redis_is_told_whether_it_keeps_what_it_is_given(server: dict[str, object], is_ok: float) -> None:
    assert told(seen(servers=[{**SERVER, **server}]))("redis_aof_ok") == is_ok


def test_of_a_cluster_all_servers_count_and_of_a_stand_in_none() -> None:
    value = told(seen(servers=[SERVER, {**SERVER, "aof_enabled": 0, "maxmemory": 7}]))
    assert (value("redis_memory_bytes"), value("redis_memory_limit_bytes"), value("redis_connected_clients")) == (
        10,
        7,
        4,
    )
    assert value("redis_aof_ok") == 0
    assert told(seen(servers=[]))("redis_memory_bytes") is None
    assert told(seen(servers=[]))("redis_aof_ok") is None


# --- A scrape ---------------------------------------------------------------------------------------------------------


def registry_of(control: Control, redis_url: str, backlog: Callable[[], int | None] = lambda: 3) -> Registry:
    registry, client = Registry("controller"), connect(redis_url, patience_seconds=1.0)
    tell_state(registry, POOLS, lambda now: survey(client, control.store.keys, now), backlog)
    return registry


def test_a_scrape_tells_how_things_are_at_that_moment(control: Control, redis_url: str) -> None:
    registry = registry_of(control, redis_url)
    assert registry.value("cohort_runs", {"status": "queued"}) == 0
    run = accept_run(control.store)
    assert registry.value("cohort_runs", {"status": "queued"}) == 1
    control.move(run, Status.RUNNING)
    assert registry.value("cohort_runs", {"status": "queued"}) == 0
    assert registry.value("cohort_runs", {"status": "running"}) == 1
    assert registry.value("cohort_hints_backlog") == 3
    assert registry.value("cohort_redis_up") == 1
    assert registry.value("cohort_redis_aof_ok") == 1
    assert (registry.value("cohort_redis_memory_bytes") or 0) > 100_000
    assert 0 < (registry.value("cohort_state_read_seconds") or 0) < 10


def test_what_a_round_saw_is_told_by_every_controller(control: Control, redis_url: str) -> None:
    control.submit(pool="a pool of yesterday")
    attempt = control.submit()
    registry = registry_of(control, redis_url)
    go_round(control.reconciler)
    pools = {"pool": "local", "stage": "submitted"}
    tell = Registry("controller")
    client = connect(redis_url)
    tell_state(tell, control.terms.pools, lambda now: survey(client, control.store.keys, now), lambda: None)
    assert tell.value("cohort_attempts", pools) == 1, attempt
    assert tell.value("cohort_pool_waiting", {"pool": "local"}) == 1
    assert tell.value("cohort_hints_backlog") is None
    assert registry.value("cohort_attempts_live") == 2


def test_a_tenants_money_is_told_as_it_is_spent(control: Control, redis_url: str) -> None:
    registry, ledger = registry_of(control, redis_url), Ledger(control.store.client)
    control.store.client.sadd("{rosters}:tenants", "acme")
    ledger.reserve("acme", "a", 500_000)
    assert registry.value("cohort_tenant_dollars", {"tenant": "acme", "kind": "reserved"}) == 0.5


@pytest.mark.parametrize("how", ["killed", "paused"])
def test_without_redis_a_scrape_tells_that_and_nothing_old(
    control: Control, redis_server: RedisServer, redis_url: str, how: str
) -> None:
    registry = registry_of(control, redis_url)
    accept_run(control.store)
    assert registry.value("cohort_runs", {"status": "queued"}) == 1
    redis_server.kill() if how == "killed" else redis_server.pause()
    began = time.monotonic()
    text = registry.text().decode()
    assert time.monotonic() - began < 8
    assert "\ncohort_redis_up 0.0\n" in text
    for line in text.splitlines():
        assert not line.startswith(("cohort_runs", "cohort_redis_memory", "cohort_hints")), line
    assert "process_resident_memory_bytes" in text
    redis_server.restart() if how == "killed" else redis_server.resume()
    assert registry.value("cohort_redis_up") == 1


def test_a_state_that_nobody_understands_takes_no_other_series_with_it(control: Control, redis_url: str) -> None:
    registry = registry_of(control, redis_url)
    control.store.client.set("{pools}:states", "no JSON")
    assert registry.value("cohort_redis_up") is None
    assert registry.value("cohort_build_info", {"service": "controller", "version": VERSION}) == 1


def test_the_queue_is_as_long_as_celery_says(broker_url: str) -> None:
    hints, broker = CeleryHints(celery_app(broker_url)), connect(broker_url)
    assert queue_length(broker) == hints.backlog() == 0
    for _ in range(3):
        hints.publish("rk3v9x2m4q8aa")
    assert queue_length(broker) == hints.backlog() == 3
    assert queue_length(connect("redis://127.0.0.1:1/1", patience_seconds=1.0)) is None
