"""One cluster for all tests, a namespace for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.admin import Admin
from tests.cluster.world import KubernetesWorld
from tests.runner.ingest import Ingest


@pytest.fixture(scope="session")
def admin() -> Iterator[Admin]:
    admin = Admin()
    yield admin
    admin.close()


@pytest.fixture(scope="session")
def ingest(admin: Admin) -> Iterator[Ingest]:
    """Where pods report to."""
    server = Ingest(admin.address())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def world(admin: Admin, ingest: Ingest, tmp_path: Path) -> Iterator[KubernetesWorld]:
    ingest.reset()
    world = KubernetesWorld(admin, ingest, tmp_path)
    yield world
    world.end()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The library's websocket, which carries commands to the node, leaves its socket to the garbage collector."""
    for item in items:
        if "cluster" in item.keywords:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
