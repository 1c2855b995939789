"""Runs in Redis: accepting, writing, reading. On every Redis that Cohort runs on."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.errors import Conflict, Fenced, IllegalTransition, RunNotFound, Stale, StoreUnavailable
from services.core.fold import first_state, fold_all
from services.core.keys import CONTROLLER_CHANNEL, Keys, new_run_id, run_channel
from services.core.lifecycle import Reason, Status
from services.core.payload import INLINE_BYTES, Payloads
from services.core.redis import Client
from services.core.store import Draft, Lease, RunStore, Talk
from tests.core.examples import RUN, TENANT, accepted, finished, llm_failed, llm_request, message, moved, submitted
from tests.servers import wait_until

Q, R, W, C = Status.QUEUED, Status.RUNNING, Status.WAITING, Status.CANCELLING
TAG = Keys().tag(RUN)


@pytest.fixture
def store(any_client: Client, keys: Keys, artifacts: ArtifactStore) -> RunStore:
    return RunStore(any_client, keys, Payloads(artifacts))


def taken(store: RunStore, run: str = RUN, owner: str = "worker") -> Lease:
    """A new run and the lease of it."""
    store.create(run, "request", accepted())
    lease = store.claim(run, owner, 60)
    assert isinstance(lease, Lease)
    return lease


def write(store: RunStore, lease: Lease, *data: ev.EventData, **how: Any) -> None:
    store.append(lease, store.state(lease.run), Draft(data), **how)


def types(store: RunStore, run: str = RUN) -> list[str]:
    return [event.event_type for event in store.events(run)]


def names(entries: Sequence[bytes]) -> set[str]:
    return {entry.decode() for entry in entries}


# --- Accepting --------------------------------------------------------------------------------------------------------


def test_an_accepted_run_is_queued_and_due_and_in_its_indexes(store: RunStore) -> None:
    assert store.create(RUN, "request", accepted(goal="g", labels={"a": "ü"}))
    state = store.state(RUN)
    assert (state.seq, state.status, state.goal, state.labels) == (1, Q, "g", {"a": "ü"})
    assert types(store) == ["run_accepted"]
    for index in (store.keys.tenant(TAG, TENANT), store.keys.tenant(TAG, TENANT, Q)):
        assert store.client.zscore(index, RUN) == int(state.created * 1000)
    assert store.sweep(TAG, 1) == [RUN]


def test_the_same_request_again_finds_the_run_it_made(store: RunStore) -> None:
    store.create(RUN, "request", accepted())
    before = store.state(RUN)
    assert not store.create(RUN, "request", accepted())
    assert store.state(RUN) == before
    assert types(store) == ["run_accepted"]


def test_another_request_under_the_same_id_is_a_conflict_and_changes_nothing(store: RunStore) -> None:
    store.create(RUN, "request", accepted())
    with pytest.raises(Conflict):
        store.create(RUN, "another", accepted(goal="other"))
    assert store.state(RUN).goal == "train it"


def test_of_many_who_accept_the_same_run_at_once_one_makes_it(store: RunStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.create(RUN, "request", accepted()), range(16)))
    assert sum(made) == 1
    assert types(store) == ["run_accepted"]


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_a_run_that_is_not_there_is_not_found(store: RunStore) -> None:
    for ask in (store.state, lambda run: store.state_for(TENANT, run), lambda run: store.record(run, "d", draft_of())):
        with pytest.raises(RunNotFound):
            ask(RUN)
    assert store.events(RUN) == []
    assert store.last_seq(RUN) == 0


def test_another_tenants_run_is_not_found(store: RunStore) -> None:
    store.create(RUN, "request", accepted())
    assert store.state_for(TENANT, RUN).run == RUN
    with pytest.raises(RunNotFound):
        store.state_for("other", RUN)


def test_events_are_read_in_pages(store: RunStore) -> None:
    write(store, taken(store), *[ev.ToolLog(tool="bash", log=str(number)) for number in range(9)])
    assert [event.seq for event in store.events(RUN, after=0, limit=4)] == [1, 2, 3, 4]
    assert [event.seq for event in store.events(RUN, after=4, limit=4)] == [5, 6, 7, 8]
    assert [event.seq for event in store.events(RUN, after=8, limit=4)] == [9, 10]
    assert store.events(RUN, after=10) == []
    assert store.last_seq(RUN) == 10


def test_what_was_written_is_read_as_it_was(store: RunStore) -> None:
    data = (ev.AssistantMessage(content="ü \U0001f600 \u2028\n\x00"), submitted("a"), finished("a"))
    write(store, taken(store), *data)
    assert tuple(event.data for event in store.events(RUN, after=1)) == data


def test_the_state_is_the_fold_of_the_log_even_after_events_that_write_no_snapshot(store: RunStore) -> None:
    lease = taken(store)
    write(store, lease, moved(Q, R), llm_request("1"))
    write(store, lease, *[ev.AssistantChunk(content="x")] * 3)
    first, *rest = store.events(RUN)
    assert isinstance(first.data, ev.RunAccepted)
    assert store.state(RUN) == fold_all(first_state(RUN, first.data, first.time), rest)
    assert (store.state(RUN).seq, store.state(RUN).turn) == (6, 1)


def test_a_large_event_is_in_the_artifact_store_and_reads_like_any_other(store: RunStore) -> None:
    output = ev.ToolOutput(tool="read", tool_call_id="1", output="x" * (INLINE_BYTES + 1), success=True)
    talk = Talk(1, 0, {"role": "tool", "content": "y" * (INLINE_BYTES + 1)})
    store.append(taken(store), store.state(RUN), Draft((output,), (talk,)))
    (_, fields) = store.client.xrange(store.keys.events(RUN), min="2-0")[0]
    assert fields[b"data"].startswith(b"@")
    assert len(store.client.lindex(store.keys.talk(RUN), 0)) == 65
    assert store.events(RUN, after=1)[0].data == output
    assert store.talk(RUN) == [talk]


def test_the_conversation_grows_with_the_events_that_belong_to_it(store: RunStore) -> None:
    lease, entries = taken(store), [Talk(1, index, {"role": "tool", "content": str(index)}) for index in range(-1, 3)]
    store.append(lease, store.state(RUN), Draft((llm_request("1"),), tuple(entries[:2])))
    store.append(lease, store.state(RUN), Draft((), tuple(entries[2:])))
    assert store.talk(RUN) == entries
    assert store.talk(RUN, start=3) == entries[3:]
    assert store.last_seq(RUN) == 2


# --- Writing ----------------------------------------------------------------------------------------------------------


def test_an_append_answers_with_the_events_and_the_state_as_they_are_stored(store: RunStore) -> None:
    lease = taken(store)
    written = store.append(lease, store.state(RUN), Draft((moved(Q, R), llm_request("1"))))
    assert written.state == store.state(RUN)
    assert list(written.events) == store.events(RUN, after=1)
    assert [(event.seq, event.turn) for event in written.events] == [(2, 0), (3, 1)]


def test_a_call_made_again_after_a_failure_is_the_same_turn(store: RunStore) -> None:
    write(store, taken(store), llm_request("1"), llm_failed("1"), llm_request("2"))
    assert [event.turn for event in store.events(RUN, after=1)] == [1, 1, 1]


def test_a_writer_that_read_an_older_log_is_told_and_writes_nothing(store: RunStore) -> None:
    lease = taken(store)
    old = store.state(RUN)
    write(store, lease, moved(Q, R))
    with pytest.raises(Stale):
        store.append(lease, old, Draft((llm_request("1"),)))
    assert types(store) == ["run_accepted", "status_changed"]


def test_a_writer_whose_generation_is_over_is_fenced_and_writes_nothing(store: RunStore) -> None:
    first = taken(store)
    expire(store, RUN)
    second = store.claim(RUN, "other", 60)
    assert isinstance(second, Lease)
    assert second.generation > first.generation
    with pytest.raises(Fenced):
        write(store, first, moved(Q, R))
    write(store, second, moved(Q, R))
    with pytest.raises(Fenced):
        write(store, first, llm_request("1"))
    assert types(store) == ["run_accepted", "status_changed"]


def test_a_move_the_table_forbids_is_refused_before_anything_is_written(store: RunStore) -> None:
    with pytest.raises(IllegalTransition):
        write(store, taken(store), llm_request("1"), moved(Q, Status.SUCCEEDED))
    assert types(store) == ["run_accepted"]


def test_nobody_writes_to_a_run_that_is_not_there(store: RunStore) -> None:
    lease = taken(store)
    state = store.state(RUN)
    store.client.delete(store.keys.run(RUN))
    with pytest.raises(RunNotFound):
        store.append(lease, state, Draft((moved(Q, R),)))


def test_a_run_is_in_the_index_of_its_status_and_of_no_other(store: RunStore) -> None:
    lease = taken(store)
    for source, target in [(Q, R), (R, W), (W, R), (R, C), (C, Status.CANCELLED)]:
        write(store, lease, moved(source, target))
        inside = {each for each in Status if store.client.zscore(store.keys.tenant(TAG, TENANT, each), RUN)}
        assert inside == {target}
    assert store.client.zscore(store.keys.tenant(TAG, TENANT), RUN)


def test_the_live_attempts_are_those_submitted_and_not_over(store: RunStore) -> None:
    lease = taken(store)
    write(store, lease, submitted("a"), submitted("b"))
    assert live(store) == {f"{RUN}-a-1", f"{RUN}-b-1"}
    store.record(RUN, "finished:a", draft_of(finished("a", outcome="failed")))
    assert live(store) == {f"{RUN}-b-1"}
    write(store, lease, submitted("a", 2))
    assert live(store) == {f"{RUN}-a-2", f"{RUN}-b-1"}


def test_a_run_that_ends_is_due_no_more_and_waits_for_its_archive(store: RunStore) -> None:
    lease = taken(store)
    write(store, lease, moved(Q, R))
    assert store.ended() == []
    write(store, lease, moved(R, Status.SUCCEEDED, Reason.FINISHED), release=True)
    assert store.ended() == [RUN]
    assert due(store) is None
    store.record(RUN, "late", draft_of(ev.ErrorRaised(error="late")))
    assert due(store) is None
    store.archived(RUN)
    assert store.ended() == []


# --- Outside facts ----------------------------------------------------------------------------------------------------


def test_a_fact_is_recorded_once_whoever_repeats_it(store: RunStore) -> None:
    store.create(RUN, "request", accepted())
    for _ in range(3):
        state = store.record(RUN, "message:1", draft_of(message()))
        assert state == store.state(RUN)
    store.record(RUN, "message:2", draft_of(message()))
    assert types(store) == ["run_accepted", "message_received", "message_received"]


def test_a_fact_needs_no_lease_and_takes_none_away(store: RunStore) -> None:
    lease = taken(store)
    old = store.state(RUN)
    store.record(RUN, "message:1", draft_of(message()))
    with pytest.raises(Stale):
        store.append(lease, old, Draft((moved(Q, R),)))
    write(store, lease, moved(Q, R))
    assert types(store) == ["run_accepted", "message_received", "status_changed"]


def test_who_decides_on_a_fact_is_asked_again_when_the_log_moves_on(store: RunStore) -> None:
    lease, seen = taken(store), []

    def decide(state: Any) -> Draft:
        seen.append(state.seq)
        if len(seen) == 1:
            write(store, lease, moved(Q, R))
        return Draft((message(),))

    store.record(RUN, "message:1", decide)
    assert seen == [1, 2]
    assert types(store) == ["run_accepted", "status_changed", "message_received"]


def test_no_events_are_no_fact(store: RunStore) -> None:
    store.create(RUN, "request", accepted())
    assert store.record(RUN, "message:1", draft_of()).seq == 1
    assert store.record(RUN, "message:1", draft_of(message())).seq == 2


# --- Announcing -------------------------------------------------------------------------------------------------------


def test_every_write_is_announced_and_what_the_controller_must_do_is_told_to_it(store: RunStore) -> None:
    heard: list[tuple[str, str]] = []
    listener = store.client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(run_channel(RUN), CONTROLLER_CHANNEL)

    def hear() -> int:
        told = listener.get_message(timeout=0.05)
        if told:
            heard.append((told["channel"].decode(), told["data"].decode()))
        return len(heard)

    hear()
    lease = taken(store)
    write(store, lease, ev.ToolLog(tool="bash", log="x"))
    wait_until(lambda: hear() == 1)
    write(store, lease, submitted("a"))
    wait_until(lambda: hear() == 3)
    listener.close()
    assert heard == [(run_channel(RUN), "2"), (run_channel(RUN), "3"), (CONTROLLER_CHANNEL, RUN)]


# --- Many at once -----------------------------------------------------------------------------------------------------


def test_the_log_of_many_writers_has_no_gap_and_no_fork(store: RunStore) -> None:
    """Four record facts, four fight over the lease and append."""
    store.create(RUN, "request", accepted())

    def record(writer: int) -> None:
        for number in range(10):
            store.record(RUN, f"{writer}:{number}", draft_of(message(message_id=f"{writer}:{number}")))

    def advance(writer: int) -> None:
        done = 0
        while done < 10:
            lease = store.claim(RUN, f"{writer}:{done}:{new_run_id()}", 60)
            if not isinstance(lease, Lease):
                continue
            try:
                write(store, lease, ev.ToolLog(tool="bash", log=f"{writer}:{done}"), release=True)
                done += 1
            except Stale:
                store.release(lease)

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(record, number) for number in range(4)] + [pool.submit(advance, n) for n in range(4)]
        for job in jobs:
            job.result()
    events = store.events(RUN)
    assert [event.seq for event in events] == list(range(1, 82))
    facts = {event.data.message_id for event in events if isinstance(event.data, ev.MessageReceived)}
    lines = [event.data.log for event in events if isinstance(event.data, ev.ToolLog)]
    assert len(facts) == len(set(lines)) == len(lines) == 40
    assert store.state(RUN).seq == 81


def test_a_redis_that_refuses_is_store_unavailable_for_a_read_too(store: RunStore) -> None:
    store.client.set(store.keys.run(RUN), "not a hash")
    with pytest.raises(StoreUnavailable):
        store.state(RUN)


def draft_of(*data: ev.EventData) -> Any:
    """A decision that is the same whatever the state."""
    return lambda _: Draft(data)


def expire(store: RunStore, run: str) -> None:
    """Let the lease's time be over."""
    store.client.hset(store.keys.run(run), "lease_until", 1)


def live(store: RunStore) -> set[str]:
    return names(store.client.zrange(store.keys.attempts(TAG), 0, -1))


def due(store: RunStore) -> float | None:
    score: float | None = store.client.zscore(store.keys.due(TAG), RUN)
    return score
