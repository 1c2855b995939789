"""One cluster for all tests, a namespace for each; and one Cohort installed in it, for those that ask for `cohort`."""

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path

import pytest

from deploy.trial.install import Installed, installed
from deploy.trial.manifests import Images
from deploy.trial.witness import Witness
from services.cli.client import ApiClient
from services.scripted.__main__ import SHIPPED
from tests.cluster.admin import SHELL_IMAGE, Admin
from tests.cluster.errands import PLAYBOOKS, Clients
from tests.cluster.gates import Gates
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


# A node of a test is small. Who dies is to be missed for a short time only, a sidecar that stands still for a long one.
SETTINGS = {
    "COHORT_SANDBOX_CPU": "0.3",
    "COHORT_SANDBOX_MEMORY_BYTES": str(512 << 20),
    "COHORT_JOBS_IN_FLIGHT_PER_TENANT": "2",
    "COHORT_FINISH_SECONDS": "240",
    "COHORT_LEASE_SECONDS": "5",
    "COHORT_LEADER_SECONDS": "2",
}
_COHORT = pytest.StashKey[Installed]()


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Installed]:
    """Cohort with all its services as pods, from the images that CLUSTER_TEST_TAG names."""
    playbooks = tmp_path_factory.mktemp("playbooks")
    for directory in (SHIPPED, PLAYBOOKS):
        shutil.copytree(directory, playbooks, dirs_exist_ok=True)
    images = Images.tagged(os.environ.get("CLUSTER_TEST_TAG", "dev"), SHELL_IMAGE)
    with installed(tmp_path_factory.mktemp("redis"), playbooks, images, SETTINGS) as cohort:
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
    with Witness(admin.settings, cohort.place.steps) as witness:
        yield witness


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test fails, the installed Cohort tells what it logged."""
    report = yield
    if report.failed and "cohort" in getattr(item, "fixturenames", ()) and _COHORT in item.session.stash:
        report.sections.append(("cohort", item.session.stash[_COHORT].account()))
    return report
