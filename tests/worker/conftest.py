"""What the tests of the worker share: tools on real stores, and (for those that ask) an engine and a scripted model."""

from pathlib import Path

import pytest

from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.keys import Keys
from services.core.ledger import Ledger
from services.core.logs import LogStore
from services.core.redis import Client
from services.core.store import RunStore
from services.core.workspace import Workspace
from services.worker.shell import Shell
from services.worker.tools.tool import Desk
from tests.worker.bench import Bench


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
        shell=Shell(tmp_path / "runs", workspace),
        step_price_per_hour=0.0,
    )


@pytest.fixture
def bench(desk: Desk, store: RunStore) -> Bench:
    """A run to use tools on."""
    return Bench(desk, store)
