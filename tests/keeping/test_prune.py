"""Runs leave Redis once they are archived, and are read from their archives from then on."""

import gzip
import json

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.errors import Conflict, RunNotFound
from services.core.keys import Keys, new_run_id
from services.core.lifecycle import Reason, Status
from services.core.redis import Client
from services.core.research import Parent
from services.core.store import Draft, Refused
from services.core.workspace import EMPTY
from services.keeping.install import install_of
from services.keeping.prune import DAY_SECONDS, Pruner, Retention
from tests.core.examples import accepted
from tests.keeping.conftest import House


def keys_of_run(house: House, run: str) -> list[str]:
    return sorted(key.decode() for key in house.client.scan_iter(f"*{run}*"))


def test_a_run_that_left_reads_as_before(house: House) -> None:
    run = house.story()
    attempt = f"{run}-train-1"
    place = house.install

    def read() -> list[object]:
        return [
            place.store.state(run),
            place.store.status(run),
            place.store.last_seq(run),
            place.store.events(run),
            place.store.events(run, after=3, limit=2),
            place.attempts.record(attempt),
            place.attempts.records(attempt, 1),
            place.attempts.metrics(attempt),
            place.attempts.samples(attempt),
            place.attempts.warnings(attempt),
            place.attempts.outputs(attempt),
            place.logs.size(attempt),
            place.logs.read(attempt, 10, 20),
            b"".join(place.logs.stream(attempt)),
            place.logs.layout(attempt),
        ]

    before = read()
    assert house.pruner.prune(run)
    assert read() == before
    assert keys_of_run(house, run) == [house.keys.run(run)]
    assert house.findings() == []


def test_its_order_of_ranks_stays_too(house: House) -> None:
    run = house.accept()
    attempt = house.step(run, log=b"rank 0\n", nodes=2)
    house.install.logs.append(f"{attempt}.1", 0, b"rank 1\n")
    house.end_step(attempt, log_bytes=7)
    house.finish(run)
    house.archivist.archive(run)
    turns = house.install.logs.turns(attempt, 0, 10)
    assert len(turns) == 2
    house.pruner.prune(run)
    assert house.install.logs.turns(attempt, 0, 10) == turns
    assert house.install.logs.read(f"{attempt}.1", 0, 100) == b"rank 1\n"


def test_the_same_request_makes_no_second_run(house: House) -> None:
    run, request = new_run_id(), accepted(snapshot=EMPTY)
    house.store.create(run, "request", request)
    house.move(run, Status.RUNNING)
    house.finish(run)
    house.archivist.archive(run)
    assert house.pruner.prune(run)
    assert not house.store.create(run, "request", request)
    with pytest.raises(Conflict):
        house.store.create(run, "another", request)
    assert house.store.status(run) is Status.SUCCEEDED


def test_nothing_can_be_written_to_it(house: House) -> None:
    run = house.story()
    house.pruner.prune(run)
    said = ev.MessageReceived(message_id="1", content="hello", author="somebody")
    with pytest.raises(RunNotFound):
        house.store.record(run, "late", lambda _: Draft((said,)))
    assert house.store.claim(run, "worker", 30) == Refused("final")
    assert keys_of_run(house, run) == [house.keys.run(run)]


def test_a_run_that_is_not_over_or_not_archived_stays(house: House) -> None:
    live, over = house.accept(), house.accept()
    house.finish(over)
    assert not house.pruner.prune(live)
    assert not house.pruner.prune(over)
    assert not house.pruner.prune(new_run_id())
    house.archivist.archive(over)
    assert house.pruner.prune(over)
    assert not house.pruner.prune(over)


def test_an_archive_of_before_there_were_records_is_made_whole_first(house: House) -> None:
    run = house.story()
    before = house.store.state(run)
    house.install.artifacts.delete_named(f"archive/{run}/records.json.gz")
    assert house.pruner.prune(run)
    assert house.install.archive.is_complete(run, before.seq)
    assert house.install.attempts.metrics(f"{run}-train-1")


def test_a_torn_archive_is_written_again_and_lets_nothing_go_meanwhile(house: House) -> None:
    run = house.story()
    name = f"archive/{run}/events.jsonl.gz"
    whole = house.install.artifacts.get_named(name)
    house.install.artifacts.put_named(name, whole[: len(whole) // 2])
    assert house.pruner.prune(run)
    lines = gzip.decompress(house.install.artifacts.get_named(name)).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_research_leaves_after_the_run_that_wanted_it(house: House) -> None:
    parent = house.accept()
    research = house.accept(parent=Parent(run=parent, tool_call_id="a"))
    house.finish(research)
    house.archivist.archive(research)
    assert not house.pruner.prune(research)
    house.finish(parent)
    house.archivist.archive(parent)
    assert house.pruner.prune(parent)
    assert house.pruner.prune(research)
    assert house.findings() == []


def test_what_a_run_spent_still_counts(house: House) -> None:
    run = house.story()
    account = house.install.ledger.account("acme")
    assert account[0] > 0
    house.pruner.prune(run)
    assert house.install.ledger.account("acme") == account
    assert house.findings() == []


def test_the_controller_lets_old_runs_leave_by_itself(house: House) -> None:
    old, fresh = house.story(), house.story()
    month = 30 * DAY_SECONDS
    house.client.zincrby(house.keys.archived(house.tag(old)), -31 * DAY_SECONDS * 1000, old)
    retention = Retention(house.pruner, month)
    assert list(retention.round())
    assert house.install.store.state(old).status is Status.SUCCEEDED
    assert [keys_of_run(house, run) == [house.keys.run(run)] for run in (old, fresh)] == [True, False]
    assert list(retention.round()) == []


def test_those_that_stay_do_not_keep_others_from_leaving(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.keeping.prune._BATCH", 2)
    parent = house.accept()
    for number in range(5):
        research = house.accept(parent=Parent(run=parent, tool_call_id=str(number)))
        house.finish(research)
        house.archivist.archive(research)
    others = [house.story() for _ in range(5)]
    pruned = [run for run in house.pruner.old(-1) if house.pruner.prune(run)]
    assert sorted(pruned) == sorted(others)


def test_a_run_whose_archive_is_lost_is_found(house: House) -> None:
    run = house.story()
    house.pruner.prune(run)
    house.install.artifacts.delete_named(f"archive/{run}/events.jsonl.gz")
    assert [(finding.kind, finding.subject) for finding in house.findings()] == [("archive", run)]


def test_it_works_on_every_redis(any_client: Client, keys: Keys, artifacts: ArtifactStore) -> None:
    house = House(install_of(any_client, keys, artifacts))
    run = house.story()
    state = house.store.state(run)
    assert isinstance(house.pruner, Pruner)
    assert house.pruner.prune(run)
    assert house.store.state(run) == state
    assert house.findings() == []


def test_a_cancelled_run_leaves_like_any_other(house: House) -> None:
    run = house.accept()
    house.move(run, Status.CANCELLING, Reason.CANCELLED_BY_USER)
    house.move(run, Status.CANCELLED, Reason.CANCELLED_BY_USER)
    house.archivist.archive(run)
    assert house.pruner.prune(run)
    assert house.store.state(run).reason is Reason.CANCELLED_BY_USER
