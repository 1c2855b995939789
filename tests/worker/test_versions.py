"""During an upgrade a worker meets runs that a newer one has written: it leaves them as they are, to others."""

import json

import pytest

from services.core import events as ev
from services.core.errors import NewerRecord
from services.core.records import RunState
from services.core.store import Draft, RunStore
from tests.worker.workshop import Workshop


def make_newer(store: RunStore, run: str) -> bytes:
    """Have the run's snapshot be one of the next version."""
    key = store.keys.run(run)
    state = json.loads(store.client.hget(key, "snapshot"))
    newer = json.dumps({**state, "version": RunState.model_fields["version"].default + 1, "of_tomorrow": [1]})
    store.client.hset(key, "snapshot", newer)
    return newer.encode()


def test_a_run_of_a_newer_version_is_given_back_unharmed(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    newer, key = make_newer(workshop.store, run), workshop.store.keys.run(run)

    for _ in range(15):
        assert workshop.advance(run) == "newer"

    fields = workshop.store.client.hgetall(key)
    assert fields[b"snapshot"] == newer
    assert (fields[b"owner"], fields[b"lease_until"], fields[b"strikes"]) == (b"", b"0", b"0")
    assert len(workshop.store.events(run)) == 1
    # Others find it at once.
    assert run in workshop.store.sweep(workshop.store.keys.tag(run), 5.0)


def test_no_fact_is_written_over_it(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    newer = make_newer(workshop.store, run)
    with pytest.raises(NewerRecord):
        workshop.store.record(run, "fact", lambda _: Draft((ev.ErrorRaised(error="x"),)))
    assert workshop.store.client.hget(workshop.store.keys.run(run), "snapshot") == newer
