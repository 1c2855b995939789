"""A worker's writes: one after the other, and decided again when somebody else was quicker."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from services.core import events as ev
from services.core.errors import Fenced
from services.core.lifecycle import Status
from services.core.records import RunState
from services.core.store import Draft, RunStore, Talk
from services.worker.conversation import SAID, user_message
from services.worker.leases import Held, LeaseKeeper
from services.worker.session import RunOver, Session
from tests.core.submitted import accept_run


@pytest.fixture
def draining() -> Event:
    """Set when the worker process is asked to end."""
    return Event()


@pytest.fixture
def session(store: RunStore, draining: Event) -> Iterator[Session]:
    with LeaseKeeper(store, 30.0) as keeper:
        held = keeper.claim(accept_run(store))
        assert isinstance(held, Held)
        session = Session(store, held, draining, keeper.metrics)
        session.write(lambda _: Draft((ev.StatusChanged(source=Status.QUEUED, target=Status.RUNNING),)))
        yield session


def say(store: RunStore, run: str, text: str) -> None:
    received = ev.MessageReceived(message_id=text, content=text, author="ci")
    store.record(run, text, lambda state: Draft((received,), (Talk(state.turn, SAID, user_message(text)),)))


def test_a_write_moves_the_state(session: Session, store: RunStore) -> None:
    before = session.state.seq

    assert session.write(lambda _: Draft((ev.ToolLog(tool="bash", log="one"),)))

    assert session.state.seq == before + 1
    assert store.last_seq(session.run) == before + 1


def test_nothing_to_write_is_no_write(session: Session) -> None:
    before = session.state

    assert not session.write(lambda _: None)
    assert session.state == before


def test_a_write_that_comes_second_is_decided_again_from_what_is_new(session: Session, store: RunStore) -> None:
    say(store, session.run, "hello")
    seen: list[tuple[int, int]] = []

    def decide(state: RunState) -> Draft:
        seen.append((state.seq, len(session.talk)))
        return Draft((ev.ToolLog(tool="bash", log="x"),))

    session.write(decide)

    assert seen == [(2, 0), (3, 1)]
    assert [entry.message["content"] for entry in session.talk] == ["hello"]


def test_writes_from_many_threads_leave_no_gap(session: Session, store: RunStore) -> None:
    def write(number: int) -> None:
        talk = Talk(1, number, user_message(str(number)))
        session.write(lambda _: Draft((ev.ToolLog(tool="bash", log=str(number)),), (talk,)))
        say(store, session.run, f"message {number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    session.refresh()

    events = store.events(session.run)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    logs = [event.data.log for event in events if isinstance(event.data, ev.ToolLog)]
    assert sorted(logs, key=int) == [str(number) for number in range(40)]
    assert session.talk == store.talk(session.run)
    assert len(session.talk) == 80


def test_who_lost_the_lease_writes_nothing(session: Session, store: RunStore) -> None:
    store.client.hset(store.keys.run(session.run), "lease_until", 0)
    store.claim(session.run, "other", 60)
    before = store.last_seq(session.run)

    with pytest.raises(Fenced):
        session.write(lambda _: Draft((ev.ToolLog(tool="bash", log="x"),)))
    assert store.last_seq(session.run) == before


def test_a_run_that_is_over_takes_no_more(session: Session) -> None:
    session.write(lambda _: Draft((ev.StatusChanged(source=Status.RUNNING, target=Status.SUCCEEDED),)))

    with pytest.raises(RunOver):
        session.write(lambda _: Draft((ev.ToolLog(tool="bash", log="x"),)))


@pytest.mark.parametrize(
    ("what", "to_end", "stops"),
    [("nothing", False, False), ("draining", False, True), ("cancel", True, True), ("lease", True, True)],
)
def test_long_work_is_given_up_for_good_or_left_to_the_next(
    session: Session, draining: Event, what: str, to_end: bool, stops: bool
) -> None:
    if what == "draining":
        draining.set()
    session.held.is_cancelling = what == "cancel"
    session.held.is_lost = what == "lease"

    assert (session.is_to_end, session.must_stop) == (to_end, stops)


def test_a_run_whose_time_is_up_is_to_end(session: Session) -> None:
    session.state = session.state.model_copy(update={"deadline": session.state.created})

    assert session.is_to_end
