"""What a worker counts of its own, and what a run through its engine adds up to."""

import threading
import time
from collections import Counter

import pytest

from services.core import events as ev
from services.core.errors import Fenced, StoreUnavailable
from services.core.lifecycle import Status
from services.core.monitoring.instruments import Registry
from services.core.store import Draft, Lease, RunStore
from services.worker.leases import Held, LeaseKeeper
from services.worker.metrics import WorkerMetrics
from services.worker.session import Session
from tests.core.submitted import accept_run
from tests.servers import RedisServer, wait_until
from tests.worker.workshop import Workshop

SECONDS = 1.0


class Keeping:
    """A keeper of leases, and what its process counts."""

    def __init__(self, store: RunStore, seconds: float = 30.0) -> None:
        self.store = store
        self.registry = Registry("worker")
        self.keeper = LeaseKeeper(store, seconds, WorkerMetrics(self.registry))

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.value(f"cohort_{name}", labels)

    def session(self) -> Session:
        held = self.keeper.claim(accept_run(self.store))
        assert isinstance(held, Held)
        return Session(self.store, held, threading.Event(), self.keeper.metrics)

    def steal(self, session: Session) -> None:
        """Another worker takes the run of one that it takes for dead."""
        self.store.client.hset(self.store.keys.run(session.run), "lease_until", 0)
        assert isinstance(self.store.claim(session.run, "other", 60), Lease)


@pytest.fixture
def keeping(store: RunStore) -> Keeping:
    return Keeping(store)


def begin(session: Session, **how: bool) -> None:
    session.write(lambda state: Draft((ev.StatusChanged(source=state.status, target=Status.RUNNING),)), **how)  # type: ignore[arg-type]


def test_a_hint_is_counted_by_what_the_claim_answered(keeping: Keeping, redis_server: RedisServer) -> None:
    run = accept_run(keeping.store)
    for name in (run, run, "r00000000none"):
        keeping.keeper.claim(name)
    redis_server.kill()
    with pytest.raises(StoreUnavailable):
        keeping.keeper.claim(run)
    results = {one: keeping("worker_hints_total", result=one) for one in ("taken", "busy", "missing", "idle")}
    assert results == {"taken": 1, "busy": 1, "missing": 1, "idle": 0}
    assert keeping("worker_hints_total", result="store_unavailable") == 1


def test_a_lease_that_is_given_back_is_not_lost(keeping: Keeping) -> None:
    session = keeping.session()
    begin(session, release=True)
    session.held.is_lost = True  # As a renewal finds that comes too late.
    keeping.keeper.drop(session.held)
    assert keeping("leases_lost_total") == 0


def test_a_lease_that_another_took_is_lost_and_what_its_holder_writes_is_refused(keeping: Keeping) -> None:
    session = keeping.session()
    keeping.steal(session)
    with pytest.raises(Fenced):
        begin(session)
    assert keeping("fenced_writes_total") == 1
    session.held.is_lost = True
    keeping.keeper.drop(session.held)
    assert keeping("leases_lost_total") == 1


def test_who_stops_in_time_writes_nothing_that_could_be_refused(keeping: Keeping) -> None:
    session = keeping.session()
    session.held.safe_until = time.monotonic() - 1
    with pytest.raises(Fenced):
        begin(session)
    assert keeping("fenced_writes_total") == 0


def test_renewals_are_timed(store: RunStore) -> None:
    keeping = Keeping(store, SECONDS)
    with keeping.keeper:
        keeping.session()
        wait_until(lambda: (keeping("lease_renew_seconds_count") or 0) >= 2)
    assert 0 < (keeping("lease_renew_seconds_sum") or 0) < 10


def test_a_goal_counts_what_its_log_says(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    state = workshop.drive(run)

    def counted(name: str, **labels: str) -> float | None:
        return workshop.registry.value(f"cohort_{name}", labels)

    events = workshop.store.events(run)
    for kind, number in Counter(event.event_type for event in events).items():
        assert counted("events_total", type=kind) == number, kind
    model = "scripted/hello"
    assert counted("turns_total") == state.turn
    assert counted("model_calls_total", model=model, result="ok") == state.spend.calls
    assert counted("model_tokens_total", model=model, kind="prompt") == state.spend.prompt_tokens
    assert counted("model_tokens_total", model=model, kind="completion") == state.spend.completion_tokens
    assert counted("model_call_seconds_count", model=model) == counted("turn_overhead_seconds_count") == 2
    assert 0 < (counted("turn_overhead_seconds_sum") or 0) < 30
    assert counted("tool_calls_total", tool="bash", result="ok") == 1
    assert counted("tool_calls_total", tool="finish", result="ok") == 1
    assert counted("runs_submitted_total", tenant="acme") == 1
    assert counted("run_queue_seconds_count") == 1
    assert counted("runs_ended_total", status="succeeded", reason="finished") == 1
    assert counted("run_seconds_sum", status="succeeded") == pytest.approx((state.ended or 0) - state.created)
    assert (counted("leases_lost_total"), counted("fenced_writes_total")) == (0, 0)
    assert counted("worker_hints_total", result="taken") == 1


@pytest.mark.parametrize(
    ("story", "failure", "label"),
    [("shaky", "overloaded", "scripted/shaky"), ("unknown", "no_model", "other")],
)
def test_a_model_that_fails_is_counted_by_how(workshop: Workshop, story: str, failure: str, label: str) -> None:
    run = workshop.accept(story)
    workshop.drive(run)
    failures = [failed.failure for failed in workshop.events(run, ev.LlmFailed)]
    assert set(failures) == {failure}
    counted = workshop.registry.value("cohort_model_calls_total", {"model": label, "result": failure})
    assert counted == len(failures)
    assert workshop.registry.value("cohort_turns_total") == workshop.state(run).turn
