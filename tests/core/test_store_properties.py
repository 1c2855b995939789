"""Whatever the order in which workers, people and the clock act on runs, the store keeps its promises.

Hypothesis writes the histories; a model of a few lines says what each act must answer; after each one the whole store
is read and compared with what it promises.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from services.core import events as ev
from services.core.errors import Conflict, Fenced, RunNotFound, Stale
from services.core.fold import first_state, fold_all
from services.core.lifecycle import TRANSITIONS, Status
from services.core.records import RunState
from services.core.store import Draft, Lease, Refused, RunStore
from tests.core.examples import TENANT, accepted, finished, message, moved, parked, submitted

RUNS = ("r00000000001", "r00000000002")
STEPS = ("a", "b")
LATER = 10_000.0
BACK_OFF = 1_000.0
LEGAL = {(row.source, row.target) for row in TRANSITIONS}


@dataclass
class Model:
    """What is known of one run from the outside: who may write, which facts are told, and how long its log must be."""

    request: str
    seq: int = 1
    generation: int = 0
    is_leased: bool = False
    facts: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Holder:
    """A worker with a lease, and the state it read some time ago."""

    lease: Lease
    state: RunState


class Histories(RuleBasedStateMachine):
    """Acts on two runs."""

    store: RunStore
    holders = Bundle("holders")

    def __init__(self) -> None:
        super().__init__()
        self.store.client.flushall()
        self.models: dict[str, Model] = {}
        self.owners = 0

    # --- Acts -----------------------------------------------------------------------------------------------------

    @rule(run=st.sampled_from(RUNS), request=st.sampled_from(["one", "another"]))
    def create(self, run: str, request: str) -> None:
        known = self.models.get(run)
        if known and known.request != request:
            with pytest.raises(Conflict):
                self.store.create(run, request, accepted())
            return
        assert self.store.create(run, request, accepted()) is (known is None)
        self.models.setdefault(run, Model(request))

    @rule(target=holders, run=st.sampled_from(RUNS))
    def claim(self, run: str) -> object:
        self.owners += 1
        answer = self.store.claim(run, f"worker-{self.owners}", 600)
        expected = self._expected_refusal(run)
        if expected is not None:
            assert answer == Refused(expected)
            return multiple()
        model = self.models[run]
        model.generation += 1
        model.is_leased = True
        assert isinstance(answer, Lease)
        assert answer.generation == model.generation
        return Holder(answer, self.store.state(run))

    @rule(target=holders, holder=holders)
    def read(self, holder: Holder) -> Holder:
        return Holder(holder.lease, self.store.state(holder.lease.run))

    @rule(
        holder=holders,
        act=st.sampled_from(["take", "step", "park", "ask", "finish", "end", "chunk"]),
        release=st.booleans(),
    )
    def append(self, holder: Holder, act: str, release: bool) -> None:
        draft = _decided(holder.state, act)
        if draft is None:
            return
        model = self.models[holder.lease.run]
        if holder.lease.generation != model.generation:
            with pytest.raises(Fenced):
                self.store.append(holder.lease, holder.state, draft, release=release)
        elif holder.state.seq != model.seq:
            with pytest.raises(Stale):
                self.store.append(holder.lease, holder.state, draft, release=release)
        else:
            written = self.store.append(holder.lease, holder.state, draft, release=release)
            model.seq += len(draft.events)
            model.is_leased = model.is_leased and not release
            assert written.state == self.store.state(holder.lease.run)

    @rule(run=st.sampled_from(RUNS), fact=st.sampled_from(["m1", "m2", "cancel", "a", "b"]))
    def record(self, run: str, fact: str) -> None:
        if run not in self.models:
            with pytest.raises(RunNotFound):
                self.store.record(run, fact, _fact(fact))
            return
        model, before = self.models[run], self.store.state(run)
        dedupe = f"{fact}:{before.steps[fact].last.id}" if fact in before.steps else fact
        wanted = _fact(fact)(before).events
        after = self.store.record(run, dedupe, _fact(fact))
        if dedupe in model.facts or not wanted:
            assert after == before
            return
        model.facts.add(dedupe)
        woken = before.status.is_parked and after.status is Status.RUNNING
        model.seq += len(wanted) + woken

    @rule(holder=holders)
    def renew(self, holder: Holder) -> None:
        model = self.models[holder.lease.run]
        is_ours = model.is_leased and holder.lease.generation == model.generation
        status = self.store.renew(holder.lease, 600)
        assert status == (self.store.state(holder.lease.run).status if is_ours else None)

    @rule(holder=holders)
    def release(self, holder: Holder) -> None:
        model = self.models[holder.lease.run]
        self.store.release(holder.lease)
        if holder.lease.generation == model.generation:
            model.is_leased = False

    @rule(run=st.sampled_from(RUNS))
    def let_the_lease_run_out(self, run: str) -> None:
        model = self.models.get(run)
        if model and model.is_leased:
            self.store.client.hset(self.store.keys.run(run), "lease_until", 1)
            self.store.client.zadd(self._due(run), {run: 1}, xx=True)
            model.is_leased = False

    @rule()
    def sweep(self) -> None:
        now = time.time()
        expected = {run for run in self.models if (self._due_at(run) or now + 1) <= now}
        swept = [run for tag in self.store.keys.tags() for run in self.store.sweep(tag, BACK_OFF)]
        assert sorted(swept) == sorted(expected)
        for run in swept:
            # The back-off passes.
            self.store.client.zadd(self._due(run), {run: 1}, xx=True)

    # --- Promises -------------------------------------------------------------------------------------------------

    @invariant()
    def the_log_has_no_gap_and_the_state_is_its_fold(self) -> None:
        for run, model in self.models.items():
            first, *rest = self.store.events(run)
            assert [event.seq for event in (first, *rest)] == list(range(1, model.seq + 1))
            assert isinstance(first.data, ev.RunAccepted)
            assert self.store.state(run) == fold_all(first_state(run, first.data, first.time), rest)
            assert self.store.last_seq(run) == model.seq

    @invariant()
    def every_move_in_the_log_starts_where_the_last_one_ended(self) -> None:
        for run in self.models:
            status = Status.QUEUED
            for event in self.store.events(run):
                if isinstance(event.data, ev.StatusChanged):
                    assert event.data.source is status
                    assert (status, event.data.target) in LEGAL
                    status = event.data.target
            assert self._field(run, "status") == status

    @invariant()
    def only_the_generation_the_model_knows_has_the_lease(self) -> None:
        for run, model in self.models.items():
            assert int(self._field(run, "generation")) == model.generation
            assert (int(self._field(run, "lease_until")) > time.time() * 1000) is model.is_leased

    @invariant()
    def the_indexes_say_what_the_state_says(self) -> None:
        client, keys = self.store.client, self.store.keys
        for run in self.models:
            state, tag = self.store.state(run), keys.tag(run)
            found = {each for each in Status if client.zscore(keys.tenant(tag, TENANT, each), run) is not None}
            assert found == {state.status}
            assert client.zscore(keys.tenant(tag, TENANT), run) is not None
            live = {name.decode() for name in client.zrange(keys.attempts(tag), 0, -1) if name.decode().startswith(run)}
            assert live == {attempt.id for attempt in state.live_attempts()}
            assert (client.zscore(keys.ended(tag), run) is not None) is state.status.is_final

    @invariant()
    def somebody_will_look_at_every_run_that_is_not_over(self) -> None:
        now = time.time()
        for run, model in self.models.items():
            state, due = self.store.state(run), self._due_at(run)
            if model.is_leased and not state.status.is_final:
                assert due is not None
                assert due <= now + 600 + 1
            elif state.status.is_parked:
                assert due is not None
                assert due <= now + LATER + 1
            elif not state.status.is_final:
                assert due is not None
                assert due <= now

    # --- The store from the side ----------------------------------------------------------------------------------

    def _expected_refusal(self, run: str) -> str | None:
        if run not in self.models:
            return "missing"
        state = self.store.state(run)
        if state.status.is_final:
            return "final"
        if self.models[run].is_leased:
            return "busy"
        return "idle" if state.status.is_parked else None

    def _field(self, run: str, name: str) -> str:
        value: bytes = self.store.client.hget(self.store.keys.run(run), name)
        return value.decode()

    def _due(self, run: str) -> str:
        return self.store.keys.due(self.store.keys.tag(run))

    def _due_at(self, run: str) -> float | None:
        score: float | None = self.store.client.zscore(self._due(run), run)
        return None if score is None else score / 1000


def _decided(state: RunState, act: str) -> Draft | None:
    """What a worker may decide from `state`; None where the act makes no sense."""
    status, step = state.status, STEPS[state.seq % 2]
    tried = len(state.steps[step].attempts) if step in state.steps else 0
    match act, status:
        case "take", Status.QUEUED | Status.NEEDS_HUMAN:
            return Draft((moved(status, Status.RUNNING),))
        case "step", Status.RUNNING if not (tried and state.steps[step].last.is_live):
            return Draft((submitted(step, tried + 1, state.run),))
        case "park", Status.RUNNING if live := [attempt.id.split("-")[1] for attempt in state.live_attempts()]:
            wait = parked(*live, mode="any" if state.seq % 3 else "all", until=time.time() + LATER)
            return Draft((wait, moved(status, Status.WAITING)))
        case "ask", Status.RUNNING:
            return Draft((parked(until=time.time() + LATER), moved(status, Status.NEEDS_HUMAN)))
        case "finish", Status.RUNNING if not state.live_attempts():
            return Draft((moved(status, Status.SUCCEEDED),))
        case "end", Status.CANCELLING if not state.live_attempts():
            return Draft((moved(status, Status.CANCELLED),))
        case "chunk", _ if not status.is_final:
            return Draft((ev.AssistantChunk(content="x"), ev.AssistantChunk(content="y")))
    return None


def _fact(fact: str) -> Callable[[RunState], Draft]:
    """What somebody outside may have to say."""

    def decide(state: RunState) -> Draft:
        if state.status.is_final:
            return Draft(())
        if fact in STEPS:
            step = state.steps.get(fact)
            is_live = step is not None and step.last.is_live
            return Draft((finished(fact, step.last.number, "failed", state.run),) if step and is_live else ())
        if fact == "cancel":
            move = () if state.status is Status.CANCELLING else (moved(state.status, Status.CANCELLING),)
            return Draft((ev.CancelRequested(author="x"), *move))
        return Draft((message(message_id=fact),))

    return decide


def test_the_store_keeps_its_promises_in_every_history(store: RunStore) -> None:
    Histories.store = store
    bounds = settings(
        max_examples=80,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(Histories, settings=bounds)
