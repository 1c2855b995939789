"""A fleet of real processes for each test, over the nursery and the scripted model of the whole session."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash.fleet import LEASE_SECONDS, Fleet
from tests.crash.nursery import Nursery
from tests.crash.plan import Fault
from tests.crash.story import PLAYBOOKS
from tests.scripted.server import ScriptedServer
from tests.servers import RedisServer

FleetMaker = Callable[..., Fleet]
EVERYTHING = ("api", "controller", "worker-1", "worker-2")


_FLEETS = pytest.StashKey[list[Fleet]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test fails, its fleet tells what it knows."""
    report = yield
    if report.failed:
        report.sections += [("fleet", fleet.account()) for fleet in item.stash.get(_FLEETS, [])]
    return report


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where the services' processes come from."""
    with Nursery() as running:
        yield running


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    """The scripted model with the crash tests' playbooks."""
    with ScriptedServer(PLAYBOOKS) as server:
        yield server.url


@pytest.fixture
def fleet_of(
    tmp_path: Path, redis_server: RedisServer, nursery: Nursery, model_url: str, request: pytest.FixtureRequest
) -> Iterator[FleetMaker]:
    """Make the test's fleet: `fleet_of(*faults, services=…, lease_seconds=…)`. It ends with the test."""
    fleets: list[Fleet] = []
    request.node.stash[_FLEETS] = fleets
    with ExitStack() as stack:

        def make(*faults: Fault, services: tuple[str, ...] = EVERYTHING, lease_seconds: float = LEASE_SECONDS) -> Fleet:
            fleet = Fleet(tmp_path, redis_server, nursery, model_url, services, faults, lease_seconds)
            stack.enter_context(fleet)
            fleets.append(fleet)
            return fleet

        yield make
