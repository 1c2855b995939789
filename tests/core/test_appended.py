"""Who looks on sees everything that this process appended, once. On every Redis that Cohort runs on."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from services.core.appended import Appended
from services.core.artifacts import ArtifactStore
from services.core.errors import Fenced, Stale
from services.core.fold import fold_all
from services.core.keys import Keys
from services.core.lifecycle import Status
from services.core.payload import Payloads
from services.core.redis import Client
from services.core.store import Draft, Lease, RunStore
from tests.core.examples import RUN, accepted, message, moved, submitted

Q, R = Status.QUEUED, Status.RUNNING


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
def seen() -> list[Appended]:
    return []


@pytest.fixture
def store(any_client: Client, keys: Keys, artifacts: ArtifactStore, seen: list[Appended]) -> RunStore:
    return RunStore(any_client, keys, Payloads(artifacts), [seen.append])


@pytest.fixture
def stuttering(any_client: Client, keys: Keys, artifacts: ArtifactStore, seen: list[Appended]) -> RunStore:
    return RunStore(Stuttering(any_client), keys, Payloads(artifacts), [seen.append])


def claimed(store: RunStore) -> Lease:
    lease = store.claim(RUN, "worker", 60)
    assert isinstance(lease, Lease)
    return lease


def record(store: RunStore, dedupe: str) -> None:
    store.record(RUN, dedupe, lambda _: Draft((message(),)))


def test_what_is_seen_is_the_log_and_the_states_between(store: RunStore, seen: list[Appended]) -> None:
    store.create(RUN, "request", accepted())
    lease = claimed(store)
    store.append(lease, store.state(RUN), Draft((moved(Q, R), submitted("a"))))
    record(store, "m")
    assert [event for one in seen for event in one.events] == store.events(RUN)
    assert seen[0].before is None and seen[-1].after == store.state(RUN)
    for one, following in pairwise(seen):
        assert following.before == one.after
        assert fold_all(one.after, following.events) == following.after


def test_what_was_there_before_is_not_seen_again(store: RunStore, seen: list[Appended]) -> None:
    store.create(RUN, "request", accepted())
    store.create(RUN, "request", accepted())
    record(store, "m")
    record(store, "m")
    assert [event.event_type for one in seen for event in one.events] == ["run_accepted", "message_received"]


def test_what_is_refused_is_not_seen(store: RunStore, seen: list[Appended]) -> None:
    store.create(RUN, "request", accepted())
    state, lease = store.state(RUN), claimed(store)
    record(store, "m")
    del seen[:]
    with pytest.raises(Stale):
        store.append(lease, state, Draft((moved(Q, R),)))
    store.release(lease)
    claimed(store)
    with pytest.raises(Fenced):
        store.append(lease, store.state(RUN), Draft((moved(Q, R),)))
    store.record(RUN, "nothing", lambda _: Draft(()))
    assert seen == []


def test_a_write_without_events_is_not_seen(store: RunStore, seen: list[Appended]) -> None:
    store.create(RUN, "request", accepted())
    del seen[:]
    store.append(claimed(store), store.state(RUN), Draft(()), release=True)
    assert seen == []


def test_what_is_sent_twice_for_want_of_a_reply_is_seen_once(stuttering: RunStore, seen: list[Appended]) -> None:
    stuttering.create(RUN, "request", accepted())
    stuttering.append(claimed(stuttering), stuttering.state(RUN), Draft((moved(Q, R),)))
    record(stuttering, "m")
    record(stuttering, "m")
    kinds = ["run_accepted", "status_changed", "message_received"]
    assert [event.event_type for one in seen for event in one.events] == kinds
    assert [event for one in seen for event in one.events] == stuttering.events(RUN)


def test_a_fact_that_another_was_quicker_to_tell_is_not_seen_here(
    store: RunStore, keys: Keys, artifacts: ArtifactStore, seen: list[Appended]
) -> None:
    store.create(RUN, "request", accepted())
    elsewhere = RunStore(store.client, keys, Payloads(artifacts))
    del seen[:]

    def decide(_: object) -> Draft:
        elsewhere.record(RUN, "m", lambda _: Draft((message(),)))
        return Draft((message(),))

    assert store.record(RUN, "m", decide).seq == 2
    assert seen == []


def test_one_that_fails_costs_neither_the_writer_nor_the_others_anything(
    store: RunStore, keys: Keys, artifacts: ArtifactStore, seen: list[Appended]
) -> None:
    def fail(_: Appended) -> None:
        raise ValueError("cannot count")

    watched = RunStore(store.client, keys, Payloads(artifacts), [fail, seen.append])
    assert watched.create(RUN, "request", accepted())
    assert len(seen) == 1
