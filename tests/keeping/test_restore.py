"""Archived runs come back where Redis is lost."""

from collections.abc import Callable

from services.core import archive
from services.core.artifacts import ArtifactStore
from services.core.keys import Keys, restoring
from services.core.lifecycle import Status
from services.core.redis import Client, connect
from services.core.research import Parent
from services.keeping import restore
from services.keeping.install import install_of
from services.keeping.restore import Outcome, Restorer
from tests.keeping.conftest import House
from tests.keeping.dying import dies_after


def restored(house: House, *runs: str) -> dict[str, Outcome]:
    return {done.run: done.outcome for done in Restorer(house.install).restore(runs)}


def test_what_was_archived_reads_as_before_the_loss(house: House) -> None:
    runs = [house.story(), house.story(tenant="other")]
    house.pruner.prune(runs[0])
    lost = house.accept()
    before = [(house.store.state(run), house.store.events(run)) for run in runs]
    money = [house.install.ledger.account(tenant)[0] for tenant in ("acme", "other")]

    house.client.flushall()
    assert restored(house) == dict.fromkeys(runs, Outcome.RESTORED)

    assert [(house.store.state(run), house.store.events(run)) for run in runs] == before
    assert house.install.logs.read(f"{runs[1]}-train-1", 0, 8) == b"loss 0.5"
    assert house.store.status(lost) is None
    assert [house.install.ledger.account(tenant)[0] for tenant in ("acme", "other")] == money
    assert house.findings() == []


def test_repeating_it_changes_nothing(house: House) -> None:
    run = house.story()
    house.client.flushall()
    restored(house)
    account = house.install.ledger.account("acme")
    assert restored(house) == {run: Outcome.THERE}
    assert house.install.ledger.account("acme") == account
    assert not house.client.exists(restoring("acme"))


def test_a_run_that_redis_has_is_left_alone(house: House) -> None:
    run, live = house.story(), house.accept()
    state = house.store.state(run)
    assert restored(house) == {run: Outcome.THERE}
    assert house.store.state(run) == state
    assert house.store.status(live) is Status.RUNNING


def test_a_run_that_is_older_in_redis_is_said_and_goes_on_there(house: House) -> None:
    run = house.story()
    state = house.store.state(run)
    house.client.hset(house.keys.run(run), mapping={"seq": state.seq - 2})
    (done,) = Restorer(house.install).restore([run])
    assert done.outcome is Outcome.AHEAD
    assert f"it goes on from {state.seq - 2}" in done.detail


def test_researches_come_back_as_such(house: House) -> None:
    parent = house.story()
    research = house.accept(parent=Parent(run=parent, tool_call_id="a"))
    house.finish(research)
    house.archivist.archive(research)
    house.client.flushall()
    restored(house)
    tag = house.tag(research)
    assert house.client.zscore(house.keys.tenant(tag, "acme"), research) is None
    assert house.client.zscore(house.keys.researches(tag, "acme"), research)
    assert house.findings() == []


def test_an_archive_that_cannot_be_read_keeps_no_other_from_coming_back(house: House) -> None:
    torn, whole = house.story(), house.story()
    name = f"archive/{torn}/events.jsonl.gz"
    house.install.artifacts.put_named(name, house.install.artifacts.get_named(name)[:40])
    house.client.flushall()
    assert restored(house) == {torn: Outcome.UNREADABLE, whole: Outcome.RESTORED}


def test_a_dry_run_changes_nothing(house: House) -> None:
    house.story()
    house.client.flushall()
    assert [done.outcome for done in Restorer(house.install, dry_run=True).restore()] == [Outcome.RESTORED]
    assert house.client.dbsize() == 0


def test_killed_at_any_line_and_repeated_it_counts_everything_once(
    house: House, redis_url: str, artifacts: ArtifactStore
) -> None:
    # What dies on the way, at its boundaries: "keeping.spent_restored", "keeping.run_restored".
    runs = [house.story() for _ in range(2)]
    account = house.install.ledger.account("acme")
    work: Callable[[], object] = lambda: restored(House(install_of(connect(redis_url), Keys(), artifacts)))  # noqa: E731
    place, deaths, died = 0, 0, True
    while died:
        house.client.flushall()
        died = dies_after(place, (restore, archive), work)
        deaths += died
        place += 3
        restored(house)
        assert house.install.ledger.account("acme") == account, place
        assert [house.store.status(run) for run in runs] == [Status.SUCCEEDED] * 2
        assert house.findings() == []
    assert deaths > 10


def test_it_works_on_every_redis(any_client: Client, keys: Keys, artifacts: ArtifactStore) -> None:
    house = House(install_of(any_client, keys, artifacts))
    run = house.story()
    for key in list(any_client.scan_iter()):
        any_client.delete(key)
    assert restored(house) == {run: Outcome.RESTORED}
    assert house.findings() == []
