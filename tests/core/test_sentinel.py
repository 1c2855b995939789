"""A Redis whose primary dies, and Sentinels that name another: nothing that was replicated is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.errors import StoreUnavailable
from services.core.hints import QUEUE, TASK, CeleryHints, celery_app
from services.core.keys import Keys, new_run_id
from services.core.lifecycle import Status
from services.core.payload import Payloads
from services.core.redis import Client, connect
from services.core.store import Draft, Lease, RunStore
from tests.core.examples import accepted, message, moved
from tests.sentinels import Sentinels
from tests.servers import wait_until

pytestmark = [pytest.mark.timeout(180)]
SECONDS = 60


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    running = Sentinels(tmp_path / "sentinels", "hush-hush")
    yield running
    running.stop()


@pytest.fixture
def client(sentinels: Sentinels) -> Iterator[Client]:
    client = connect(sentinels.url())
    yield client
    client.close()


@pytest.fixture
def store(client: Client, artifacts: ArtifactStore) -> RunStore:
    return RunStore(client, Keys(), Payloads(artifacts))


def at_last(act: Callable[[], Any]) -> Any:
    """The answer, once the store gives one."""
    answers: list[Any] = []

    def is_answered() -> bool:
        try:
            answers.append(act())
        except StoreUnavailable:
            return False
        return True

    wait_until(is_answered, SECONDS)
    return answers[0]


def is_replicated(client: Client) -> bool:
    return bool(client.wait(1, 1_000) == 1)


def test_a_run_goes_on_where_its_primary_dies(sentinels: Sentinels, store: RunStore, client: Client) -> None:
    run = new_run_id()
    store.create(run, "request", accepted())
    lease = store.claim(run, "worker", 60)
    assert isinstance(lease, Lease)
    store.append(lease, store.state(run), Draft((moved(Status.QUEUED, Status.RUNNING),)))
    wait_until(lambda: is_replicated(client))
    before = store.state(run)

    sentinels.fail_over()

    assert at_last(lambda: store.state(run)) == before
    assert at_last(lambda: store.renew(lease, 60)) is Status.RUNNING
    at_last(lambda: store.record(run, "m", lambda _: Draft((message(),))))
    store.append(lease, store.state(run), Draft((moved(Status.RUNNING, Status.SUCCEEDED),)))
    assert [event.seq for event in store.events(run)] == [1, 2, 3, 4]
    assert store.state(run).status is Status.SUCCEEDED


def test_facts_told_throughout_are_there_once(sentinels: Sentinels, store: RunStore, client: Client) -> None:
    run = new_run_id()
    store.create(run, "request", accepted())
    told: list[str] = []
    for number in range(40):
        name = str(number)
        at_last(lambda name=name: store.record(run, name, lambda _: Draft((message(message_id=name),))))
        told.append(name)
        if number == 20:
            wait_until(lambda: is_replicated(client))
            sentinels.fail_over()
    events = store.events(run)
    said = [event.data.message_id for event in events if isinstance(event.data, ev.MessageReceived)]
    assert said == told
    assert [event.seq for event in events] == list(range(1, 42))


def test_hints_go_on(sentinels: Sentinels) -> None:
    app = celery_app(sentinels.url(1))
    taken: list[str] = []

    @app.task(name=TASK, shared=False)
    def advance(run: str) -> None:
        taken.append(run)

    hints = CeleryHints(app)
    with start_worker(app, perform_ping_check=False, queues=[QUEUE], pool="solo"):
        hints.publish("before")
        wait_until(lambda: "before" in taken, SECONDS)
        sentinels.fail_over()

        def is_taken() -> bool:
            hints.publish("after")
            return "after" in taken

        wait_until(is_taken, SECONDS, pause=0.5)


def test_a_primary_that_has_lost_its_replica_takes_nothing_that_could_be_lost(
    tmp_path: Path, artifacts: ArtifactStore
) -> None:
    careful = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2")
    sentinels = Sentinels(tmp_path / "careful", "", *careful)
    client = connect(sentinels.url())
    try:
        store = RunStore(client, Keys(), Payloads(artifacts))
        run = new_run_id()
        store.create(run, "request", accepted())
        sentinels.servers[1].kill()

        def is_refused() -> bool:
            try:
                store.record(run, new_run_id(), lambda _: Draft((message(),)))
            except StoreUnavailable:
                return True
            return False

        wait_until(is_refused, SECONDS)
        assert store.state(run).run == run
        sentinels.servers[1].start("--replicaof", "127.0.0.1", str(sentinels.servers[0].port), *careful)
        at_last(lambda: store.record(run, "again", lambda _: Draft((message(),))))
    finally:
        client.close()
        sentinels.stop()


def test_sentinels_that_are_all_away_are_a_store_that_is_away() -> None:
    client = connect("redis+sentinel://:hush@127.0.0.1:1,127.0.0.1:2/0?service=mymaster")
    store = RunStore(client, Keys(), Payloads(None))  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable) as error:
        store.state("r00000000000a")
    assert "hush" not in str(error.value)
    client.close()
