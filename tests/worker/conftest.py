"""What the tests of the worker share: tools on real stores, and (for those that ask) an engine and a scripted model."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.core import faults
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.keys import Keys
from services.core.ledger import Ledger
from services.core.logs import LogStore
from services.core.payload import Payloads
from services.core.pools import Pools
from services.core.redis import Client
from services.core.sandboxes import SandboxStore
from services.core.store import RunStore
from services.core.workspace import Workspace
from services.worker.research import Researches
from services.worker.shells.local import LocalShell
from services.worker.shells.sandbox import SandboxShell, SandboxTerms
from services.worker.tools.tool import Desk
from tests.api.conftest import SECRET, parts_on, served
from tests.scripted.server import ScriptedServer
from tests.worker.bench import Bench
from tests.worker.controller.cloud import Listener
from tests.worker.pods import Pods
from tests.worker.stories import write_stories
from tests.worker.workshop import Workshop, settings_for


@pytest.fixture
def workspace(artifacts: ArtifactStore) -> Workspace:
    return Workspace(artifacts)


@pytest.fixture
def desk(artifacts: ArtifactStore, workspace: Workspace, client: Client, keys: Keys, tmp_path: Path) -> Desk:
    """What tools work with, on a real Redis and a real artifact store."""
    return Desk(
        workspace=workspace,
        artifacts=artifacts,
        attempts=AttemptStore(client, keys),
        logs=LogStore(client, keys, artifacts),
        ledger=Ledger(client),
        shell=LocalShell(tmp_path / "runs", workspace),
        pools=Pools.local(),
        researches=Researches(RunStore(client, keys, Payloads(artifacts)), Listener()),
    )


@pytest.fixture
def pods(desk: Desk, store: RunStore, redis_url: str, tmp_path: Path) -> Iterator[Pods]:
    """What makes sandboxes of what is submitted, beside a real API."""
    api = served(parts_on(redis_url, tmp_path / "artifacts"))
    with Pods(store, desk.attempts, tmp_path / "pods", api.server.url, SECRET) as pods:
        yield pods
    api.server.stop()


@pytest.fixture
def sandbox_desk(desk: Desk, store: RunStore, pods: Pods) -> Desk:
    """The same with commands in sandboxes."""
    sandboxes = SandboxStore(store.client, store.keys, Payloads(desk.artifacts))
    terms = SandboxTerms(idle_seconds=900, seconds=3600)
    return replace(desk, shell=SandboxShell(store, sandboxes, desk.ledger, desk.artifacts, Pools.local(1.0), terms))


@pytest.fixture
def bench(desk: Desk, store: RunStore) -> Iterator[Bench]:
    """A run to use tools on."""
    made = Bench(desk, store)
    yield made
    made.desk.outside.web.close()


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    """The scripted model with the stories of these tests."""
    with ScriptedServer(write_stories(tmp_path_factory.mktemp("stories"))) as running:
        yield running


OpenWorkshop = Callable[..., Workshop]


@pytest.fixture
def open_workshop(redis_url: str, broker_url: str, tmp_path: Path, scripted: ScriptedServer) -> Iterator[OpenWorkshop]:
    """Opens workshops on one store, each with settings of its own."""
    with ExitStack() as stack:

        def opened(**changes: Any) -> Workshop:
            artifacts = f"file://{tmp_path}/artifacts"
            settings = settings_for(redis_url, broker_url, tmp_path / "state", scripted.url, artifacts, **changes)
            return stack.enter_context(Workshop(settings))

        yield opened


@pytest.fixture
def workshop(open_workshop: OpenWorkshop) -> Workshop:
    """A worker's engine with the scripted model."""
    return open_workshop()


class Moments:
    """What is to happen at the named boundaries of the worker's code (see `services.core.faults`)."""

    def __init__(self) -> None:
        self._waiting: dict[str, Callable[[], object]] = {}

    def once(self, name: str, action: Callable[[], object]) -> None:
        """Do it the next time the boundary is reached, in the thread that reaches it."""
        self._waiting[name] = action

    def reached(self, name: str) -> None:
        action = self._waiting.pop(name, None)
        if action is not None:
            action()

    def clear(self) -> None:
        self._waiting.clear()


@pytest.fixture(scope="session")
def _installed() -> Moments:
    moments = Moments()
    faults.install(moments.reached)
    return moments


@pytest.fixture
def moments(_installed: Moments) -> Iterator[Moments]:
    """Says what is to happen at a boundary, once."""
    yield _installed
    _installed.clear()
