"""Whether a store is sound, and what is said where it is not."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.keys import Keys, gpus, holds, ledger, new_run_id
from services.core.lifecycle import Status
from services.core.redis import Client
from services.keeping.findings import REPAIRABLE, Kind
from services.keeping.install import install_of
from services.keeping.repair import Repairs
from services.keeping.verify import Verifier
from tests.keeping.conftest import House

Damage = Callable[[House, str], None]


def busy(house: House) -> str:
    """Runs of every kind; returns one that is over."""
    over = house.story()
    live = house.accept()
    house.pay(live, "c1", 700)
    house.step(live)
    queued = house.accept(tenant="other")
    parked = house.accept()
    house.write(parked, ev.StatusChanged(source=Status.RUNNING, target=Status.NEEDS_HUMAN))
    lease = house.store.claim(queued, "worker", 30)
    house.store.renew(lease, 30)
    return over


def test_an_install_at_work_is_sound(house: House) -> None:
    busy(house)
    report = Verifier(house.install, 1.0, lambda: None).report()
    assert report.findings == []
    assert (report.runs, report.objects > 5, report.objects_read > 5) == (4, True, True)


def test_an_empty_store_is_sound(house: House) -> None:
    assert house.findings() == []


def drop_event(house: House, run: str) -> None:
    house.client.xdel(house.keys.events(run), "2-0")


def other_snapshot(house: House, run: str) -> None:
    text = house.client.hget(house.keys.run(run), "snapshot").decode()
    house.client.hset(house.keys.run(run), "snapshot", text.replace('"summary":"done"', '"summary":"failed"'))


def no_snapshot(house: House, run: str) -> None:
    house.client.hset(house.keys.run(run), "snapshot", "{")


def other_status(house: House, run: str) -> None:
    house.client.hset(house.keys.run(run), "status", "failed")


def not_listed(house: House, run: str) -> None:
    house.client.zrem(house.keys.tenant(house.tag(run), "acme"), run)


def listed_twice(house: House, run: str) -> None:
    house.client.zadd(house.keys.tenant(house.tag(run), "acme", "running"), {run: 1})


def listed_elsewhere(house: House, run: str) -> None:
    house.client.zadd(house.keys.tenant(house.tag(run), "stranger"), {run: 1})


def unarchived(house: House, run: str) -> None:
    house.client.zrem(house.keys.archived(house.tag(run)), run)


def stray_run(house: House, run: str) -> None:
    stranger = next(one for one in iter(new_run_id, "") if house.tag(one) == house.tag(run))
    house.client.zadd(house.keys.due(house.tag(run)), {stranger: 1})


def stray_attempt(house: House, run: str) -> None:
    house.client.zadd(house.keys.attempts(house.tag(run)), {f"{run}-train-1": 1})


def lost_run(house: House, run: str) -> None:
    house.client.delete(house.keys.run(run))


def long_lease(house: House, run: str) -> None:
    house.client.hset(house.keys.run(run), "lease_until", 9_999_999_999_999)


def lost_payload(house: House, run: str) -> None:
    (found,) = [row for _, row in house.client.xrange(house.keys.events(run)) if row[b"data"].startswith(b"@")]
    remove(house, found[b"data"][1:].decode())


def lost_file(house: House, run: str) -> None:
    remove(house, house.store.state(run).artifacts[0].sha256)


def lost_tree(house: House, run: str) -> None:
    remove(house, house.store.state(run).steps["train"].last.snapshot)


def damaged_file(house: House, run: str) -> None:
    sha256 = house.store.state(run).artifacts[0].sha256
    path = place_of(house) / "cas" / sha256[:2] / sha256
    path.write_bytes(path.read_bytes()[::-1])


def lost_step_log(house: House, run: str) -> None:
    (name,) = house.install.artifacts.list_named(f"logs/{run}/")
    house.install.artifacts.delete_named(name)


def cut_step_log(house: House, run: str) -> None:
    house.client.hincrby(house.keys.attempt(f"{run}-train-1"), "log_bytes", 7)


def more_spent(house: House, run: str) -> None:
    house.client.hincrby(ledger("acme"), "spent", 5)


def less_spent(house: House, run: str) -> None:
    house.client.hincrby(ledger("acme"), "spent", -5)


def held_for_nothing(house: House, run: str) -> None:
    house.install.ledger.reserve("acme", f"model:{run}-c9", 10)


def reserved_by_nobody(house: House, run: str) -> None:
    house.client.hincrby(ledger("acme"), "reserved", 10)
    assert not house.client.exists(holds("acme"))


def gpus_for_nothing(house: House, run: str) -> None:
    house.client.hset(gpus("acme"), "r00000000000x-train-1", 4)


def unlisted_key(house: House, run: str) -> None:
    house.client.hset("{keys}:abcdefghijkl", mapping={"record": "{}", "secret": "x"})


def other_shards(house: House, run: str) -> None:
    house.client.rename(house.keys.run(run), f"{{c77}}:run:{run}")


def remove(house: House, sha256: str) -> None:
    (place_of(house) / "cas" / sha256[:2] / sha256).unlink()


def place_of(house: House) -> Path:
    return Path(house.install.artifacts.url.removeprefix("file://"))


DAMAGES: list[tuple[Damage, Kind]] = [
    (drop_event, Kind.LOG),
    (other_snapshot, Kind.SNAPSHOT),
    (no_snapshot, Kind.SNAPSHOT),
    (other_status, Kind.STATUS),
    (not_listed, Kind.INDEX),
    (listed_twice, Kind.INDEX),
    (listed_elsewhere, Kind.STRAY),
    (unarchived, Kind.UNARCHIVED),
    (stray_run, Kind.STRAY),
    (stray_attempt, Kind.STRAY),
    (lost_run, Kind.LEFTOVER),
    (long_lease, Kind.LEASE),
    (lost_payload, Kind.OBJECT),
    (lost_file, Kind.OBJECT),
    (lost_tree, Kind.OBJECT),
    (damaged_file, Kind.OBJECT),
    (lost_step_log, Kind.STEP_LOG),
    (cut_step_log, Kind.STEP_LOG),
    (more_spent, Kind.LEDGER),
    (less_spent, Kind.LEDGER),
    (held_for_nothing, Kind.HOLD),
    (reserved_by_nobody, Kind.LEDGER),
    (gpus_for_nothing, Kind.GPUS),
    (unlisted_key, Kind.KEY),
    (other_shards, Kind.SHARD),
]


@pytest.mark.parametrize(("damage", "kind"), DAMAGES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_what_is_damaged_is_found_and_repaired_where_the_log_allows_it(
    house: House, damage: Damage, kind: Kind
) -> None:
    run = busy(house)
    damage(house, run)

    found = house.findings()

    assert kind in {finding.kind for finding in found}, found
    assert all(finding.kind.what_to_do for finding in found)
    done = list(Repairs(house.install).repair(found))
    left = {finding.kind for finding in house.findings()}
    assert left & REPAIRABLE == set(), done
    assert (kind in left) == (kind not in REPAIRABLE)


def test_a_run_that_is_not_due_any_more_is_found_and_taken_up_again(house: House) -> None:
    run = house.accept()
    house.client.zrem(house.keys.due(house.tag(run)), run)
    found = house.findings()
    assert [(finding.kind, finding.subject) for finding in found] == [(Kind.DUE, run)]

    (done,) = Repairs(house.install).repair(found)

    assert done.is_done
    assert house.store.sweep(house.tag(run), 5.0) == [run]
    assert house.findings() == []


def test_a_live_attempt_that_no_index_names_is_found(house: House) -> None:
    run = house.accept()
    attempt = house.step(run)
    house.client.zrem(house.keys.attempts(house.tag(run)), attempt)
    assert Kind.LIVE in {finding.kind for finding in house.findings()}


def test_a_run_that_somebody_works_on_is_not_repaired(house: House) -> None:
    run = house.accept()
    not_listed(house, run)
    house.store.claim(run, "worker", 30)
    found = house.findings()
    (done,) = Repairs(house.install).repair(found)
    assert not done.is_done
    assert "a worker has it" in done.outcome
    assert house.findings() == found


def test_a_run_that_was_written_since_it_was_looked_at_is_not_repaired(house: House) -> None:
    run = house.accept()
    not_listed(house, run)
    found = house.findings()
    repairs = Repairs(house.install)
    look = repairs._runs.look

    def written_meanwhile(name: str) -> object:
        looked = look(name)
        house.write(name, ev.ErrorRaised(error="x"))
        return looked

    repairs._runs.look = written_meanwhile  # type: ignore[method-assign, assignment]
    (done,) = repairs.repair(found)
    assert not done.is_done
    assert "moved on" in done.outcome


def test_what_heals_by_itself_is_not_reported(house: House) -> None:
    run = house.accept()
    other_status(house, run)
    looks: list[int] = []

    def healed() -> None:
        looks.append(1)
        house.client.hset(house.keys.run(run), "status", "running")

    assert house.findings(pause=healed) == []
    assert looks


def test_a_sound_install_stays_so_while_runs_go_on(house: House) -> None:
    runs = [house.accept() for _ in range(8)]
    stopped = threading.Event()

    def work() -> None:
        for number in range(10_000):
            if stopped.is_set():
                return
            run = runs[number % len(runs)]
            house.pay(run, f"c{number}", 100)
            attempt = house.step(run, number=number // len(runs) + 1)
            house.end_step(attempt)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(5):
            assert house.findings() == []
    finally:
        stopped.set()
        worker.join()


def test_a_log_of_a_newer_version_is_left_alone(house: House) -> None:
    run = house.accept()
    house.write(run, ev.Unknown(kind="of_tomorrow", payload={"a": 1}))
    assert [(finding.kind, finding.subject) for finding in house.findings()] == [(Kind.NEWER, run)]


def test_without_reading_everything_a_changed_byte_may_be_missed_and_a_missing_object_never(house: House) -> None:
    run = house.story()
    damaged_file(house, run)
    assert house.findings(fraction=0.0) == []
    lost_file(house, run)
    assert [finding.kind for finding in house.findings(fraction=0.0)] == [Kind.OBJECT]


def test_it_works_on_every_redis(any_client: Client, keys: Keys, artifacts: ArtifactStore) -> None:
    house = House(install_of(any_client, keys, artifacts))
    run = busy(house)
    assert house.findings() == []
    not_listed(house, run)
    assert [finding.kind for finding in house.findings()] == [Kind.INDEX]
    assert [done.outcome for done in Repairs(house.install).repair(house.findings())] == ["repaired"]
    assert house.findings() == []
