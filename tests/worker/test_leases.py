"""Holding a run: renewed by a thread of its own, and never believed in longer than it can last."""

import time
from collections.abc import Callable

import pytest

from services.core import events as ev
from services.core.errors import Fenced
from services.core.lifecycle import Reason, Status
from services.core.store import Draft, Lease, Refused, RunStore
from services.worker.leases import Held, LeaseKeeper
from tests.core.submitted import accept_run
from tests.servers import RedisServer, wait_until

SECONDS = 1.0


def held_by(keeper: LeaseKeeper, run: str) -> Held:
    held = keeper.claim(run)
    assert isinstance(held, Held)
    return held


def lease_left(store: RunStore, run: str) -> float:
    """Seconds until the lease in the store is over."""
    until = int(store.client.hget(store.keys.run(run), "lease_until"))
    seconds, micros = store.client.time()
    return until / 1000 - (float(seconds) + micros / 1e6)


def test_leases_outlive_their_time_while_their_holder_lives(store: RunStore) -> None:
    runs = [accept_run(store) for _ in range(40)]
    started = time.monotonic()
    with LeaseKeeper(store, 3 * SECONDS) as keeper:
        held = [held_by(keeper, run) for run in runs]
        first = [one.safe_until for one in held]

        wait_until(lambda: time.monotonic() > started + 4 * SECONDS, 10)

        for run, one, before in zip(runs, held, first, strict=True):
            one.check()
            assert one.safe_until > before
            assert store.claim(run, "other", SECONDS) == Refused("busy")


def test_nobody_believes_in_a_lease_longer_than_the_store_does(store: RunStore) -> None:
    run = accept_run(store)
    with LeaseKeeper(store, SECONDS) as keeper:
        held = held_by(keeper, run)
        for _ in range(50):
            assert held.safe_until - time.monotonic() < lease_left(store, run)


def test_a_holder_stops_before_its_lease_can_be_over(store: RunStore, redis_server: RedisServer) -> None:
    run = accept_run(store)
    with LeaseKeeper(store, SECONDS) as keeper:
        held = held_by(keeper, run)
        redis_server.pause()
        wait_until(lambda: held.is_over, 5)
        with pytest.raises(Fenced):
            held.check()
        redis_server.resume()


@pytest.mark.parametrize("late", [0.0, 5.0])
def test_check_raises_from_the_moment_it_may_be_too_late(late: float) -> None:
    held = Held(Lease("r1", 1), safe_until=time.monotonic() - late)
    still = Held(Lease("r1", 1), safe_until=time.monotonic() + 60)

    assert held.is_over
    with pytest.raises(Fenced, match="the lease on run r1 is over"):
        held.check()
    still.check()
    assert not still.is_over


def test_a_lease_that_another_took_is_noticed(store: RunStore) -> None:
    run = accept_run(store)
    with LeaseKeeper(store, SECONDS) as keeper:
        held = held_by(keeper, run)
        store.client.hset(store.keys.run(run), "lease_until", 0)
        assert isinstance(store.claim(run, "other", 60), Lease)

        wait_until(lambda: held.is_lost, 5)

        with pytest.raises(Fenced):
            held.check()


def test_what_was_given_back_is_not_renewed(store: RunStore) -> None:
    run = accept_run(store)
    with LeaseKeeper(store, SECONDS) as keeper:
        held = held_by(keeper, run)
        assert keeper.count() == 1
        store.append(held.lease, store.state(run), Draft(()), release=True, wake_in=0.0)
        keeper.drop(held)

        assert keeper.count() == 0
        assert isinstance(store.claim(run, "other", 60), Lease)


def test_dropping_an_old_hold_leaves_the_new_one(store: RunStore) -> None:
    run = accept_run(store)
    with LeaseKeeper(store, SECONDS) as keeper:
        old = held_by(keeper, run)
        store.release(old.lease)
        new = held_by(keeper, run)
        keeper.drop(old)

        assert keeper.count() == 1
        assert new.lease.generation > old.lease.generation


def test_a_cancel_is_seen_at_the_next_renewal(store: RunStore) -> None:
    run = accept_run(store)
    with LeaseKeeper(store, SECONDS) as keeper:
        held = held_by(keeper, run)
        assert not held.is_cancelling
        move = ev.StatusChanged(source=Status.QUEUED, target=Status.CANCELLING, reason=Reason.CANCELLED_BY_USER)
        store.record(run, "cancel", lambda _: Draft((move,)))

        wait_until(lambda: held.is_cancelling, 5)
        held.check()


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda store, run: None, "missing"),
        (lambda store, run: store.claim(run, "other", 60), "busy"),
    ],
)
def test_a_claim_that_is_refused_holds_nothing(
    store: RunStore, prepare: Callable[[RunStore, str], object], why: str
) -> None:
    run = accept_run(store) if why == "busy" else "r00000000none"
    prepare(store, run)
    with LeaseKeeper(store, SECONDS) as keeper:
        assert keeper.claim(run) == Refused(why)
        assert keeper.count() == 0
