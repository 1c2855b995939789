"""Whoever prunes is killed at every line, and again: nothing is lost, and nothing half removed is seen."""

from collections.abc import Callable, Iterator

import pytest

from services.core import archive, faults
from services.core.artifacts import ArtifactStore
from services.core.errors import RunNotFound
from services.core.keys import Keys
from services.core.redis import connect
from services.keeping import garbage, prune, recording
from services.keeping.findings import Kind
from services.keeping.garbage import Garbage
from services.keeping.install import install_of
from tests.keeping.conftest import House
from tests.keeping.dying import dies_after
from tests.servers import RedisServer

# What dies here, at its boundaries: "keeping.run_pruned", "keeping.archive_completed", "keeping.marked",
# "keeping.forgetting", "keeping.run_forgotten".
STEP = 3


@pytest.fixture
def another(redis_url: str, artifacts: ArtifactStore) -> Callable[[], House]:
    """The same install, opened by another process."""
    return lambda: House(install_of(connect(redis_url), Keys(), artifacts))


def lines() -> Iterator[int]:
    """Where to die: further each time. Endless; the work comes to its end before."""
    place = 0
    while True:
        yield place
        place += STEP


def test_a_run_leaves_whole_or_stays_whole(house: House, another: Callable[[], House]) -> None:
    modules = (prune, archive, recording)
    deaths = 0
    for place in lines():
        run = house.story()
        if place % 2:
            # The archive has to be made whole first.
            house.install.artifacts.delete_named(f"archive/{run}/records.json.gz")
        before = house.store.state(run), house.store.events(run), house.install.logs.read(f"{run}-train-1", 0, 100)
        died = dies_after(place, modules, lambda run=run: another().pruner.prune(run))  # type: ignore[misc]
        deaths += died
        after = house.store.state(run), house.store.events(run), house.install.logs.read(f"{run}-train-1", 0, 100)
        assert after == before, place
        left = list(house.client.scan_iter(f"*{run}*"))
        assert len(left) == 1 or house.client.hexists(house.keys.run(run), "snapshot"), left
        house.pruner.prune(run)
        assert [key.decode() for key in house.client.scan_iter(f"*{run}*")] == [house.keys.run(run)]
        if not died:
            break
    assert deaths > 10
    assert house.findings() == []


def test_a_run_is_forgotten_at_once_and_its_money_counted_once(house: House, another: Callable[[], House]) -> None:
    modules = (garbage, archive)
    deaths = 0
    for place in lines():
        run = house.story()
        house.pruner.prune(run)
        spent = house.install.ledger.account("acme")
        died = dies_after(place, modules, lambda: list(Garbage(another().install).archives(-1)))
        deaths += died
        try:
            assert len(house.install.store.events(run)) == house.install.store.state(run).seq
        except RunNotFound:
            assert house.install.store.events(run) == []
        assert [one for one in house.findings() if one.kind is not Kind.STRAY] == [], place
        list(Garbage(house.install).archives(-1))
        assert list(house.install.archive.runs()) == []
        assert house.install.ledger.account("acme") == spent
        assert house.findings() == []
        if not died:
            break
    assert deaths > 10


def test_a_redis_that_dies_right_after_loses_nothing_of_a_run_that_left(
    house: House, redis_server: RedisServer
) -> None:
    run = house.story()
    state = house.store.state(run)
    faults.install(lambda name: redis_server.kill() if name == "keeping.run_pruned" else None)
    try:
        assert house.pruner.prune(run)
    finally:
        faults._hooks.pop()
    redis_server.restart()
    assert house.store.state(run) == state
    house.pruner.prune(run)
    assert house.findings() == []
