"""What every test may ask for: a real Redis of its own, and the store on top of it."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.core.artifacts import ArtifactStore
from services.core.keys import Keys
from services.core.payload import Payloads
from services.core.redis import Client, connect
from services.core.store import RunStore
from tests.servers import EmbeddedRedis, RedisCluster, RedisServer, wait_until as _wait_until


def pytest_configure() -> None:
    """Make Ctrl-C and a hang-up count again: whoever runs us may have them ignored, and so by all that we start."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One redis-server for each process of pytest. Tests ask for `redis_server`, which is empty."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """A running, empty redis-server; the test may kill, restart and pause it."""
    if redis_process.is_running:
        redis_process.resume()
    else:
        redis_process.start()
    with redis.Redis(port=redis_process.port) as client:
        client.flushall()
    return redis_process


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Database 0 of `redis_server`, for state."""
    return redis_server.url


@pytest.fixture
def broker_url(redis_server: RedisServer) -> str:
    """Database 1 of `redis_server`, for Celery."""
    return redis_server.url_of(1)


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    """A client as the services have it."""
    client = connect(redis_url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """One Redis Cluster for each process of pytest, started by the first test that asks. `any_client` empties it."""
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def embedded_redis() -> Iterator[EmbeddedRedis]:
    """One embedded Redis for each process of pytest. `any_client` empties it."""
    server = EmbeddedRedis()
    yield server
    server.stop()


@pytest.fixture(params=["redis", "embedded", "cluster"])
def any_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of each Redis that Cohort runs on: a single one, the embedded one, a cluster. Empty."""
    match request.param:
        case "redis":
            client = connect(request.getfixturevalue("redis_url"))
        case "embedded":
            client = connect(request.getfixturevalue("embedded_redis").url)
            client.flushall()
        case _:
            cluster: RedisCluster = request.getfixturevalue("redis_cluster")
            cluster.flush()
            client = connect(cluster.url, cluster=True)
    yield client
    client.close()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(f"file://{tmp_path}/artifacts")


@pytest.fixture
def store(client: Client, keys: Keys, artifacts: ArtifactStore) -> RunStore:
    return RunStore(client, keys, Payloads(artifacts))


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """`tests.servers.wait_until`: ask a condition until it holds, with a deadline."""
    return _wait_until
