"""One cluster for all tests, a namespace for each; and one Cohort installed in it, for those that ask for `cohort`."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path

import pytest

from services.cli.client import ApiClient
from tests.cluster.admin import Admin
from tests.cluster.errands import PLAYBOOKS, Clients
from tests.cluster.gates import Gates
from tests.cluster.installation import Installed, installed
from tests.cluster.witness import Witness
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


_COHORT = pytest.StashKey[Installed]()


@pytest.fixture(scope="session")
def cohort(admin: Admin, request: pytest.FixtureRequest) -> Iterator[Installed]:
    """Cohort with all its services as pods, by its chart, from the images that CLUSTER_TEST_TAG names."""
    playbooks = {path.parent.name: path.read_text() for path in PLAYBOOKS.glob("*/playbook.yaml")}
    with installed(admin, playbooks) as cohort:
        request.session.stash[_COHORT] = cohort
        yield cohort


@pytest.fixture
def clients(cohort: Installed) -> Iterator[Clients]:
    """Clients of the installed Cohort, with every right of their tenants, closed at the test's end."""
    with ExitStack() as stack:

        @cache
        def client_of(tenant: str) -> ApiClient:
            return stack.enter_context(closing(ApiClient(cohort.url, cohort.key(tenant))))

        yield client_of


@pytest.fixture(scope="session")
def gates(admin: Admin) -> Iterator[Gates]:
    with Gates(admin.address()) as gates:
        yield gates


@pytest.fixture(scope="session")
def witness(admin: Admin, cohort: Installed) -> Iterator[Witness]:
    with Witness(admin.settings, cohort.steps) as witness:
        yield witness


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test fails, the installed Cohort tells what it logged."""
    report = yield
    if report.failed and "cohort" in getattr(item, "fixturenames", ()) and _COHORT in item.session.stash:
        report.sections.append(("cohort", item.session.stash[_COHORT].account()))
    return report
