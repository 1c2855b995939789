"""What the indexes of Redis say of all runs. On every Redis that Cohort runs on."""

import time

import pytest

from services.core import keys as names
from services.core.artifacts import ArtifactStore
from services.core.errors import StoreUnavailable
from services.core.keys import Keys, new_run_id
from services.core.ledger import Ledger
from services.core.lifecycle import Reason, Status
from services.core.monitoring.rosters import Roster
from services.core.payload import Payloads
from services.core.pool_states import Census, PoolState, PoolStates, Published
from services.core.redis import Client, connect
from services.core.research import Parent
from services.core.store import Draft, Lease, RunStore
from services.worker.controller.survey import Account, Survey, survey
from tests.core.examples import moved
from tests.core.submitted import accept_run, close_attempt, submit_attempt
from tests.servers import free_port

Q, R, C = Status.QUEUED, Status.RUNNING, Status.CANCELLING


class Seen:
    """A store, and what is seen of it."""

    def __init__(self, client: Client, keys: Keys, artifacts: ArtifactStore) -> None:
        self.client, self.keys = client, keys
        self.store = RunStore(client, keys, Payloads(artifacts))

    def __call__(self, ahead: float = 0.0) -> Survey:
        """What is there now, as it looks so many seconds later."""
        return survey(self.client, self.keys, time.time() + ahead)

    def claim(self, run: str, seconds: float = 60.0) -> Lease:
        lease = self.store.claim(run, new_run_id(), seconds)
        assert isinstance(lease, Lease)
        return lease

    def move(self, run: str, *targets: Status) -> None:
        """As a worker that takes the run, writes, and gives it back."""
        lease = self.claim(run)
        for target in targets:
            state = self.store.state(run)
            self.store.append(lease, state, Draft((moved(state.status, target, Reason.DEADLINE),)))
        self.store.append(lease, self.store.state(run), Draft(()), release=True)

    def sweep(self) -> list[str]:
        return [run for tag in self.keys.tags() for run in self.store.sweep(tag, 5.0)]


@pytest.fixture
def seen(any_client: Client, keys: Keys, artifacts: ArtifactStore) -> Seen:
    return Seen(any_client, keys, artifacts)


def statuses(found: Survey) -> dict[tuple[str, str], int]:
    return {(run.tenant, run.status): sum(run[::2] == other[::2] for other in found.live) for run in found.live}


def test_runs_that_are_not_over_are_seen_with_who_pays(seen: Seen) -> None:
    queued, running, ended = (accept_run(seen.store, tenant="acme") for _ in range(3))
    accept_run(seen.store, tenant="a tenant with blanks")
    seen.move(running, R)
    seen.move(ended, C, Status.TIMED_OUT)
    found = seen()
    assert statuses(found) == {("acme", "queued"): 1, ("acme", "running"): 1, ("a tenant with blanks", "queued"): 1}
    assert abs(min(run.created for run in found.live) - seen.store.state(queued).created) < 0.001


def test_a_research_is_none_of_its_tenants_runs_but_waits_for_a_worker_as_they_do(seen: Seen) -> None:
    accept_run(seen.store, parent=Parent(run="r00000000002", tool_call_id="a"))
    assert (seen().live, seen().waiting) == ([], 1)


def test_a_run_waits_from_when_it_was_due_until_somebody_takes_it_however_often_it_was_named(seen: Seen) -> None:
    run = accept_run(seen.store)
    due = seen.client.zscore(seen.keys.due(seen.keys.tag(run)), run) / 1000
    assert (seen().waiting, seen().due_since) == (1, due)
    assert seen.sweep() == [run]
    # Put off for a while, it waits all the same; and it counts once when it is due again.
    assert (seen().waiting, seen().due_since) == (1, due)
    assert (seen(ahead=10).waiting, seen(ahead=10).due_since) == (1, due)
    lease = seen.claim(run)
    assert (seen().waiting, seen().due_since) == (0, None)
    seen.store.release(lease)
    assert seen().waiting == 1


def test_a_run_whose_holder_died_waits_from_when_its_lease_was_over(seen: Seen) -> None:
    run = accept_run(seen.store)
    seen.claim(run, seconds=1.0)
    assert seen().waiting == 0
    assert seen(ahead=5).waiting == 1


def test_whoever_writes_under_a_lease_is_there_though_the_sweeper_took_it_for_dead(seen: Seen) -> None:
    run = accept_run(seen.store)
    lease = seen.claim(run, seconds=0.001)
    seen.client.zadd(seen.keys.due(seen.keys.tag(run)), {run: 1})
    assert seen.sweep() == [run]
    state = seen.store.state(run)
    seen.store.append(lease, state, Draft((moved(Q, C, Reason.DEADLINE),)))
    assert seen.client.zscore(seen.keys.overdue(seen.keys.tag(run)), run) is None


def test_a_parked_run_does_not_wait_for_a_worker(seen: Seen) -> None:
    run = accept_run(seen.store)
    seen.sweep()
    seen.move(run, R, Status.NEEDS_HUMAN)
    assert seen().waiting == 0


def test_live_attempts_are_counted_once_however_many_nodes_they_have(seen: Seen) -> None:
    one, other = submit_attempt(seen.store, run=accept_run(seen.store), nodes=4), submit_attempt(seen.store)
    assert seen().attempts == 2
    close_attempt(seen.store, one)
    close_attempt(seen.store, other)
    assert seen().attempts == 0


def test_what_ended_is_counted_until_it_is_archived(seen: Seen) -> None:
    run = accept_run(seen.store)
    seen.move(run, C, Status.TIMED_OUT)
    assert seen().unarchived == 1
    seen.store.archived(run)
    assert seen().unarchived == 0


def test_the_tenants_of_the_roster_are_seen_with_their_money(seen: Seen) -> None:
    ledger, roster = Ledger(seen.client), Roster(seen.client, "tenants", most=2)
    for tenant in ("acme", "other team", "one too many"):
        roster.label(tenant)
    ledger.set_cap("acme", 2.0)
    ledger.reserve("acme", "model:a", 500_000)
    ledger.settle("acme", "model:a", 300_000)
    ledger.reserve("acme", "model:b", 100_000)
    assert seen().tenants == {"acme": Account(300_000, 100_000, 2_000_000), "other team": Account(0, 0, None)}


def test_what_the_leader_published_is_seen_as_it_is(seen: Seen) -> None:
    assert seen().published is None
    census = Census(tenant="acme", pool="cpu", stage="running", has_node=True, attempts=1, gpus=0)
    published = Published(time=5.0, pools=(PoolState(name="cpu", queued=1),), census=(census,))
    PoolStates(seen.client).publish(published)
    assert seen().published == published


def test_what_an_older_leader_published_is_read_too(seen: Seen) -> None:
    seen.client.set(names.POOL_STATES, '{"time": 5.0, "pools": [{"name": "cpu", "queued": 1}]}')
    published = seen().published
    assert published is not None and published.census == ()


def test_a_run_of_before_there_was_this_index_is_seen_once_something_happens_to_it(seen: Seen) -> None:
    run = accept_run(seen.store)
    seen.client.hdel(seen.keys.live(seen.keys.tag(run)), run)
    assert seen().live == []
    submit_attempt(seen.store, run=run)
    assert [one.status for one in seen().live] == [Q]


def test_a_redis_that_is_away_is_said_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        survey(connect(f"redis://127.0.0.1:{free_port()}/0", patience_seconds=1.0), Keys(), time.time())
    assert time.monotonic() - began < 5
