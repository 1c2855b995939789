"""Who may advance a run, and when somebody must look at it. On every Redis that Cohort runs on."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.errors import Fenced
from services.core.keys import Keys, new_run_id
from services.core.lifecycle import Status
from services.core.payload import Payloads
from services.core.records import RunState
from services.core.redis import Client
from services.core.store import Draft, Lease, Refused, RunStore
from tests.core.examples import RUN, accepted, finished, message, moved, parked, submitted
from tests.servers import wait_until

Q, R, W, H, C = Status.QUEUED, Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN, Status.CANCELLING
TAG = Keys().tag(RUN)
HOUR = 3600.0


@pytest.fixture
def store(any_client: Client, keys: Keys, artifacts: ArtifactStore) -> RunStore:
    store = RunStore(any_client, keys, Payloads(artifacts))
    store.create(RUN, "request", accepted())
    return store


def claimed(store: RunStore, owner: str = "worker", seconds: float = 60, run: str = RUN) -> Lease:
    lease = store.claim(run, owner, seconds)
    assert isinstance(lease, Lease)
    return lease


def write(store: RunStore, lease: Lease, *data: ev.EventData, **how: Any) -> None:
    store.append(lease, store.state(RUN), Draft(data), **how)


def record(store: RunStore, dedupe: str, *data: ev.EventData) -> RunState:
    return store.record(RUN, dedupe, lambda _: Draft(data))


def due_in(store: RunStore) -> float | None:
    """Seconds from now at which somebody must look at the run; None: never."""
    score: float | None = store.client.zscore(store.keys.due(TAG), RUN)
    return None if score is None else score / 1000 - time.time()


def expire(store: RunStore) -> None:
    """Let the lease's time be over, and the half second after it too."""
    store.client.hset(store.keys.run(RUN), "lease_until", 1)
    store.client.zadd(store.keys.due(TAG), {RUN: 1}, lt=True)


def wait_for_step(store: RunStore, lease: Lease, until: float | None = None) -> None:
    """Submit step `a` and park until it is over."""
    write(store, lease, moved(Q, R), submitted("a"), parked("a", until=until), moved(R, W), release=True)


# --- Claiming ---------------------------------------------------------------------------------------------------------


def test_a_run_that_is_due_is_taken_by_one_worker_and_busy_for_the_others(store: RunStore) -> None:
    lease = claimed(store)
    assert (lease.strikes, lease.is_inherited) == (0, False)
    assert store.claim(RUN, "other", 60) == Refused("busy")
    assert due_in(store) == pytest.approx(60.5, abs=5)


def test_of_many_workers_that_reach_for_a_run_one_gets_it(store: RunStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: store.claim(RUN, f"worker-{number}", 60), range(16)))
    assert sum(isinstance(answer, Lease) for answer in answers) == 1


def test_the_generation_rises_with_every_owner(store: RunStore) -> None:
    generations = []
    for number in range(4):
        generations.append(claimed(store, f"worker-{number}").generation)
        expire(store)
    assert generations == sorted(set(generations))


def test_a_run_that_is_not_there_is_missing_and_due_no_more(store: RunStore) -> None:
    store.client.delete(store.keys.run(RUN))
    assert store.claim(RUN, "worker", 60) == Refused("missing")
    assert due_in(store) is None


def test_a_run_that_is_over_is_final_and_due_no_more(store: RunStore) -> None:
    write(store, claimed(store), moved(Q, R), moved(R, Status.SUCCEEDED), release=True)
    store.client.zadd(store.keys.due(TAG), {RUN: 1})
    assert store.claim(RUN, "worker", 60) == Refused("final")
    assert due_in(store) is None


def test_a_parked_run_is_idle_and_due_when_its_wait_ends(store: RunStore) -> None:
    wait_for_step(store, claimed(store), until=time.time() + HOUR)
    assert store.claim(RUN, "worker", 60) == Refused("idle")
    assert due_in(store) == pytest.approx(HOUR, abs=5)


def test_a_parked_run_that_is_looked_at_too_early_is_due_again_at_its_time(store: RunStore) -> None:
    wait_for_step(store, claimed(store), until=time.time() + HOUR)
    store.client.zadd(store.keys.due(TAG), {RUN: 1})
    assert store.sweep(TAG, 1) == [RUN]
    assert store.claim(RUN, "worker", 60) == Refused("idle")
    assert due_in(store) == pytest.approx(HOUR, abs=5)


def test_a_wait_whose_time_has_passed_is_taken_up(store: RunStore) -> None:
    lease = claimed(store)
    wait_for_step(store, lease, until=time.time() - 1)
    assert store.sweep(TAG, 1) == [RUN]
    assert claimed(store, "other").generation > lease.generation


def test_a_claim_that_was_lost_with_its_primary_is_fenced_by_the_next(store: RunStore) -> None:
    before = store.client.hgetall(store.keys.run(RUN))
    lost = claimed(store)
    # The replica that takes over has never heard of the claim.
    store.client.hset(store.keys.run(RUN), mapping=before)
    wait_until(lambda: int(time.time() * 1000) > lost.generation)
    store.client.hset(store.keys.run(RUN), "lease_until", 0)
    found = claimed(store, "other")
    assert found.generation != lost.generation
    assert store.renew(lost, 60) is None
    with pytest.raises(Fenced):
        store.append(lost, store.state(RUN), Draft((moved(Q, R),)))


def test_a_lease_that_was_not_renewed_is_over_by_the_clock(store: RunStore) -> None:
    claimed(store, seconds=0.2)
    assert store.claim(RUN, "other", 60) == Refused("busy")
    answers: list[Lease | Refused] = []
    wait_until(lambda: answers.append(store.claim(RUN, "other", 60)) or isinstance(answers[-1], Lease))
    lease = answers[-1]
    assert isinstance(lease, Lease)
    assert (lease.strikes, lease.is_inherited) == (1, True)


# --- Strikes ----------------------------------------------------------------------------------------------------------


def test_holders_that_die_without_a_word_are_counted(store: RunStore) -> None:
    strikes = []
    for number in range(4):
        strikes.append(claimed(store, f"worker-{number}").strikes)
        expire(store)
    assert strikes == [0, 1, 2, 3]


def test_a_holder_that_wrote_or_gave_the_lease_back_is_no_strike(store: RunStore) -> None:
    claimed(store, "a")
    expire(store)
    write(store, claimed(store, "b"), moved(Q, R))
    expire(store)
    lease = claimed(store, "c")
    assert lease.strikes == 0
    store.release(lease)
    lease = claimed(store, "d")
    assert lease.strikes == 0
    write(store, lease, release=True)
    assert claimed(store, "e").strikes == 0


def test_a_lease_tells_whether_the_holder_before_gave_it_back(store: RunStore) -> None:
    lease = claimed(store, "a")
    assert not lease.is_inherited
    store.release(lease)
    assert not claimed(store, "b").is_inherited
    expire(store)
    lease = claimed(store, "c")
    assert lease.is_inherited
    write(store, lease, moved(Q, R), release=True)
    assert not claimed(store, "d").is_inherited


# --- Renewing and releasing -------------------------------------------------------------------------------------------


def test_a_renewed_lease_lasts_longer_and_tells_the_status(store: RunStore) -> None:
    lease = claimed(store, seconds=5)
    assert store.renew(lease, 90) is Q
    assert due_in(store) == pytest.approx(90.5, abs=5)
    record(store, "cancel", ev.CancelRequested(author="x"), moved(Q, C))
    assert store.renew(lease, 90) is C


def test_a_lease_that_is_over_or_taken_or_given_back_cannot_be_renewed(store: RunStore) -> None:
    lease = claimed(store)
    expire(store)
    assert store.renew(lease, 60) is None
    second = claimed(store, "other")
    assert store.renew(lease, 60) is None
    store.release(second)
    assert store.renew(second, 60) is None


def test_a_lease_renewed_after_the_end_makes_nobody_look_at_the_run(store: RunStore) -> None:
    lease = claimed(store)
    write(store, lease, moved(Q, R), moved(R, Status.SUCCEEDED))
    assert store.renew(lease, 60) is Status.SUCCEEDED
    assert due_in(store) is None
    store.release(lease)
    assert due_in(store) is None


def test_a_released_run_is_due_at_once_and_anybodys(store: RunStore) -> None:
    lease = claimed(store)
    store.release(lease)
    assert (due_in(store) or 0) <= 0
    assert claimed(store, "other").generation > lease.generation


def test_a_release_that_comes_too_late_takes_nothing_from_the_next_owner(store: RunStore) -> None:
    first = claimed(store)
    expire(store)
    second = claimed(store, "other")
    store.release(first)
    assert store.claim(RUN, "third", 60) == Refused("busy")
    assert store.renew(second, 60) is Q


@pytest.mark.parametrize(("wake_in", "expected"), [(None, 0.0), (0.0, 0.0), (300.0, 300.0)])
def test_a_write_can_give_the_lease_back_and_say_when_to_come_again(
    store: RunStore, wake_in: float | None, expected: float
) -> None:
    write(store, claimed(store), moved(Q, R), release=True, wake_in=wake_in)
    assert due_in(store) == pytest.approx(expected, abs=5)
    assert isinstance(store.claim(RUN, "other", 60), Lease)


def test_a_write_that_moves_nothing_and_gives_the_lease_back_leaves_the_run_due_at_once(store: RunStore) -> None:
    lease = claimed(store)
    write(store, lease, moved(Q, R))
    write(store, lease, ev.ToolLog(tool="bash", log="x"), release=True)
    assert store.sweep(TAG, 1) == [RUN]


def test_a_write_under_a_lease_leaves_the_run_to_its_holder(store: RunStore) -> None:
    lease = claimed(store)
    write(store, lease, moved(Q, R))
    assert store.sweep(TAG, 1) == []
    record(store, "m", message())
    assert store.sweep(TAG, 1) == []
    store.release(lease)
    assert store.sweep(TAG, 1) == [RUN]


# --- Waking -----------------------------------------------------------------------------------------------------------


def test_the_end_of_the_step_wakes_the_run_in_the_same_write(store: RunStore) -> None:
    wait_for_step(store, claimed(store))
    state = record(store, "finished", finished("a", outcome="failed"))
    assert state.status is R
    assert [event.event_type for event in store.events(RUN)][-2:] == ["attempt_finished", "status_changed"]
    assert store.sweep(TAG, 1) == [RUN]


def test_a_step_that_is_not_waited_for_wakes_nobody(store: RunStore) -> None:
    lease = claimed(store)
    write(store, lease, moved(Q, R), submitted("a"), submitted("b"), parked("a"), moved(R, W), release=True)
    assert record(store, "finished:b", finished("b")).status is W
    assert store.sweep(TAG, 1) == []
    assert record(store, "finished:a", finished("a")).status is R


def test_an_attempt_that_is_tried_again_in_the_same_breath_wakes_nobody(store: RunStore) -> None:
    wait_for_step(store, claimed(store))
    state = record(store, "lost", finished("a", outcome="lost"), submitted("a", 2))
    assert (state.status, state.seq) == (W, 7)
    assert store.sweep(TAG, 1) == []
    assert record(store, "finished", finished("a", 2)).status is R


@pytest.mark.parametrize("parked_in", [W, H])
def test_a_message_wakes_a_parked_run(store: RunStore, parked_in: Status) -> None:
    write(store, claimed(store), moved(Q, R), parked("a", until=time.time() + HOUR), moved(R, parked_in), release=True)
    assert store.claim(RUN, "worker", 60) == Refused("idle")
    assert record(store, "m", message()).status is R
    assert store.sweep(TAG, 1) == [RUN]
    claimed(store, "other")


def test_a_run_woken_while_its_holder_still_has_it_is_due_when_the_lease_is_back(store: RunStore) -> None:
    lease = claimed(store)
    write(store, lease, moved(Q, R), submitted("a"), parked("a"), moved(R, W))
    record(store, "finished", finished("a"))
    assert store.sweep(TAG, 1) == []
    store.release(lease)
    assert store.sweep(TAG, 1) == [RUN]


def test_a_cancel_makes_a_parked_run_due(store: RunStore) -> None:
    wait_for_step(store, claimed(store))
    record(store, "cancel", ev.CancelRequested(author="x"), moved(W, C))
    assert store.sweep(TAG, 1) == [RUN]
    claimed(store, "other")


# --- Sweeping ---------------------------------------------------------------------------------------------------------


def test_a_swept_run_is_named_again_only_after_the_back_off(store: RunStore) -> None:
    assert store.sweep(TAG, 60) == [RUN]
    assert store.sweep(TAG, 60) == []
    assert due_in(store) == pytest.approx(60, abs=5)


def test_a_run_whose_worker_died_is_named_by_the_sweep(store: RunStore) -> None:
    claimed(store)
    assert store.sweep(TAG, 1) == []
    expire(store)
    assert store.sweep(TAG, 1) == [RUN]


def test_a_sweep_names_no_more_than_it_is_asked_for_the_longest_due_first(store: RunStore) -> None:
    keys = store.keys
    runs = [run for run in (new_run_id() for _ in range(1000)) if keys.tag(run) == TAG][:6]
    assert len(runs) == 6
    for place, run in enumerate(runs, start=2):
        store.create(run, "request", accepted())
        store.client.zadd(keys.due(TAG), {run: place})
    store.client.zadd(keys.due(TAG), {RUN: 1})
    assert store.sweep(TAG, 60, limit=3) == [RUN, *runs[:2]]
    assert store.sweep(TAG, 60, limit=3) == runs[2:5]


def test_every_run_is_in_the_sweep_of_exactly_one_shard(store: RunStore) -> None:
    runs = {RUN} | {new_run_id() for _ in range(40)}
    for run in runs:
        store.create(run, "request", accepted())
    swept = [run for tag in store.keys.tags() for run in store.sweep(tag, 60)]
    assert sorted(swept) == sorted(runs)


# --- A reply that is lost ---------------------------------------------------------------------------------------------


class Stuttering:
    """A client that loses the reply to every script once, and so sends it twice."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self._client, name)
        if name not in {"eval", "evalsha"}:
            return method

        def twice(*args: Any) -> Any:
            method(*args)
            return method(*args)

        return twice


@pytest.fixture
def stuttering(store: RunStore, artifacts: ArtifactStore) -> RunStore:
    return RunStore(Stuttering(store.client), store.keys, Payloads(artifacts))


def test_a_run_accepted_twice_is_accepted_once(stuttering: RunStore) -> None:
    run = new_run_id()
    assert stuttering.create(run, "request", accepted())
    assert stuttering.last_seq(run) == 1
    assert not stuttering.create(run, "request", accepted())


def test_a_claim_sent_twice_is_one_claim(stuttering: RunStore) -> None:
    lease = claimed(stuttering)
    known = int(stuttering.client.hget(stuttering.keys.run(RUN), "generation"))
    assert (lease.generation, lease.strikes) == (known, 0)
    assert stuttering.claim(RUN, "other", 60) == Refused("busy")


def test_an_append_sent_twice_is_written_once_and_answers_the_same(stuttering: RunStore) -> None:
    lease = claimed(stuttering)
    written = stuttering.append(lease, stuttering.state(RUN), Draft((moved(Q, R), submitted("a"))))
    assert written.state == stuttering.state(RUN)
    assert stuttering.last_seq(RUN) == 3


def test_an_append_sent_twice_is_known_again_after_a_fact_came_between(
    store: RunStore, artifacts: ArtifactStore
) -> None:
    class Slow(Stuttering):
        """Another writer is quicker than the repetition."""

        def __getattr__(self, name: str) -> Any:
            method = getattr(store.client, name)
            if name != "evalsha":
                return method

            def twice(*args: Any) -> Any:
                method(*args)
                record(store, "m", message())
                return method(*args)

            return twice

    lease = claimed(store)
    slow = RunStore(Slow(store.client), store.keys, Payloads(artifacts))
    record(store, "warm", message())
    slow.append(lease, store.state(RUN), Draft((moved(Q, R),)))
    kinds = [event.event_type for event in store.events(RUN)]
    assert kinds == ["run_accepted", "message_received", "status_changed", "message_received"]


def test_a_fact_sent_twice_is_recorded_once(stuttering: RunStore) -> None:
    state = record(stuttering, "m", message())
    assert (state.seq, stuttering.last_seq(RUN)) == (2, 2)


def test_renewing_and_releasing_twice_is_doing_it_once(stuttering: RunStore) -> None:
    first = claimed(stuttering)
    assert stuttering.renew(first, 60) is Q
    stuttering.release(first)
    lease = claimed(stuttering, "other")
    assert (lease.generation > first.generation, lease.strikes) == (True, 0)
