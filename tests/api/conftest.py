"""The API as it is deployed: a real server on a real port, a real Redis behind it."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.api.app import create_app
from services.api.hub import Hub
from services.api.metrics import Metrics
from services.api.parts import Bounds, Parts
from services.core.apikeys import ApiKeys, Scope
from services.core.archive import Archive
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.catalog import Catalog
from services.core.history import History
from services.core.keys import Keys
from services.core.logs import LogStore
from services.core.monitoring.counting import Counting, Vocabulary
from services.core.monitoring.instruments import Registry
from services.core.payload import Payloads
from services.core.redis import connect
from services.core.sandboxes import SandboxStore
from services.core.store import RunStore
from services.core.tokens import issue
from services.core.workspace import Workspace
from tests.api.server import Served, serving
from tests.servers import RedisServer

SECRET = "a secret of the runners"
BOUNDS = Bounds(submission_bytes=4 * 2**20, json_bytes=2**20, threads=16)


class Told:
    """Hints, as they were given."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def publish(self, run: str) -> None:
        self.runs.append(run)

    def backlog(self) -> int:
        return len(self.runs)


@dataclass(frozen=True)
class Api:
    """A running API, and keys to it."""

    parts: Parts
    hints: Told
    server: Served

    def client(self, *scopes: Scope, tenant: str = "acme") -> httpx.Client:
        """A client with a new key of these scopes; admin unless told."""
        _, text = self.parts.api_keys.create(tenant, scopes or (Scope.ADMIN,), "test")
        return self._client(text)

    def runner(self, attempt: str, token: str = "") -> httpx.Client:
        """A client as the sidecar of an attempt has it."""
        client = self._client(token or issue(SECRET, attempt, 4e9))
        client.base_url = httpx.URL(f"{self.server.url}/internal/v1/attempts/{attempt}")
        return client

    def _client(self, credential: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {credential}"}
        return httpx.Client(base_url=self.server.url, headers=headers, timeout=30, trust_env=False, verify=False)


def parts_on(redis_url: str, directory: Path) -> Parts:
    """Everything an API is built from, on this Redis and with its artifacts in this directory."""
    client, keys, artifacts = connect(redis_url), Keys(), ArtifactStore(f"file://{directory}")
    registry = Registry("api")
    counting = Counting(registry, client, Vocabulary())
    history = History(client, keys, Archive(artifacts))
    store = RunStore(client, keys, Payloads(artifacts), [counting], history)
    return Parts(
        store=store,
        attempts=AttemptStore(client, keys, history),
        sandboxes=SandboxStore(client, keys, Payloads(artifacts)),
        logs=LogStore(client, keys, artifacts, history),
        artifacts=artifacts,
        workspace=Workspace(artifacts),
        catalog=Catalog(store),
        api_keys=ApiKeys(client),
        hints=Told(),
        hub=Hub(store, redis_url),
        metrics=Metrics(registry),
        runner_secret=SECRET,
        default_model="scripted/digits",
        bounds=BOUNDS,
    )


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document, without a server: what tests are made from while they are collected."""
    with tempfile.TemporaryDirectory() as directory:
        return create_app(parts_on("redis://127.0.0.1:1/0", Path(directory))).openapi()


def served(parts: Parts) -> Api:
    assert isinstance(parts.hints, Told)
    return Api(parts, parts.hints, serving(create_app(parts), parts.hub))


@pytest.fixture(scope="session")
def shared_api(redis_process: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API for each process of pytest: it keeps nothing that Redis does not. Tests ask for `api`."""
    api = served(parts_on(redis_process.url, tmp_path_factory.mktemp("artifacts")))
    yield api
    api.server.stop()


@pytest.fixture
def api(shared_api: Api, redis_server: RedisServer) -> Api:
    """A running API with nothing in it."""
    shared_api.hints.runs.clear()
    return shared_api


@pytest.fixture
def start_api(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Start an API of the test's own, with some parts replaced."""
    running: list[Api] = []

    def start(**changes: object) -> Api:
        parts = parts_on(redis_url, tmp_path / "artifacts")
        running.append(served(replace(parts, **changes)))  # type: ignore[arg-type]
        return running[-1]

    yield start
    for api in running:
        api.server.stop()


@pytest.fixture
def http(api: Api) -> Iterator[httpx.Client]:
    """A client that may do everything in tenant acme."""
    with api.client() as client:
        yield client
