"""Whatever the order in which workers, people and the clock act on runs, the store keeps its promises.

Hypothesis writes the histories; a model of a few lines says what each act must answer; after each one all that the
store has about the run is read and compared with what it promises.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from services.core import events as ev
from services.core.errors import Conflict, Fenced, Stale
from services.core.fold import first_state, fold_all
from services.core.lifecycle import TRANSITIONS, Status
from services.core.live import live_entry
from services.core.records import RunState
from services.core.store import Draft, Lease, Refused, RunStore
from tests.core.examples import TENANT, accepted, finished, message, moved, parked, submitted

RUNS = ("r00000000001", "r00000000002")
STEPS = ("a", "b")
LATER, LEASE, BACK_OFF = 10_000.0, 600.0, 1_000.0
LEGAL = {(row.source, row.target) for row in TRANSITIONS}

WORK = ("take", "step", "step", "park", "park", "ask", "finish", "end", "chunk")
FACTS = ("m1", "m2", "m3", "cancel", *STEPS, *STEPS)
CLOCK = ("create", "claim", "claim", "late", "late", "late", "late", "renew", "release", "expire", "expire", "sweep")


@dataclass(frozen=True)
class Act:
    """Something that somebody does about a run. `pick` chooses where there is a choice."""

    kind: str
    run: str
    pick: int
    release: bool


ACTS = st.builds(
    Act,
    kind=st.sampled_from(WORK + FACTS + CLOCK),
    run=st.sampled_from(RUNS),
    pick=st.integers(0, 5),
    release=st.sampled_from((False, False, True)),
)


@dataclass(frozen=True)
class Holder:
    """A worker that was given a lease, and the state it read at some time."""

    lease: Lease
    state: RunState


@dataclass
class Model:
    """What is known of one run from outside: who may write, which facts are told, how long its log must be."""

    seq: int = 1
    generation: int = 0
    is_leased: bool = False
    facts: set[str] = field(default_factory=set)
    holders: list[Holder] = field(default_factory=list)


class History:
    """Does acts to the store and to the model, and compares their answers."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.models: dict[str, Model] = {}
        self.owners = 0

    def do(self, act: Act) -> None:
        if act.kind in WORK:
            self._work(act)
        elif act.kind in FACTS:
            self._tell(act.run, act.kind)
        else:
            method: Callable[[Act], object] = getattr(self, f"_{act.kind}")
            method(act)
        self._look(act.run)

    # --- Acts -----------------------------------------------------------------------------------------------------

    def _create(self, act: Act) -> None:
        assert self.store.create(act.run, "request", accepted()) is (act.run not in self.models)
        with pytest.raises(Conflict):
            self.store.create(act.run, "another", accepted())
        self.models.setdefault(act.run, Model())

    def _claim(self, act: Act) -> Holder | None:
        self.owners += 1
        model, state = self.models[act.run], self.store.state(act.run)
        answer = self.store.claim(act.run, f"worker-{self.owners}", LEASE)
        if refused := _refusal(model, state):
            assert answer == Refused(refused)
            return None
        assert isinstance(answer, Lease)
        assert answer.generation > model.generation
        model.generation = answer.generation
        model.is_leased = True
        model.holders.append(Holder(answer, state))
        return model.holders[-1]

    def _work(self, act: Act) -> None:
        """Whoever holds the run, or a worker that comes for it, decides on what it has just read."""
        model = self.models[act.run]
        holder = model.holders[-1] if model.is_leased else self._claim(act)
        if holder:
            self._write(Holder(holder.lease, self.store.state(act.run)), act)

    def _late(self, act: Act) -> None:
        """Some worker, perhaps of long ago, decides on what it read then."""
        holders = self.models[act.run].holders
        if holders:
            holder = holders[-1 - act.pick % len(holders)]
            kind = WORK[(act.pick + len(holders)) % len(WORK)]
            self._write(holder, Act(kind, act.run, act.pick, act.release))

    def _write(self, holder: Holder, act: Act) -> None:
        draft, model = _decided(holder.state, act.kind), self.models[act.run]
        if draft is None:
            return
        if holder.lease.generation != model.generation:
            with pytest.raises(Fenced):
                self.store.append(holder.lease, holder.state, draft, release=act.release)
        elif holder.state.seq != model.seq:
            with pytest.raises(Stale):
                self.store.append(holder.lease, holder.state, draft, release=act.release)
        else:
            written = self.store.append(holder.lease, holder.state, draft, release=act.release)
            assert written.state == self.store.state(act.run)
            model.seq += len(draft.events)
            model.is_leased = model.is_leased and not act.release

    def _tell(self, run: str, fact: str) -> None:
        model, before = self.models[run], self.store.state(run)
        dedupe = f"{fact}:{before.steps[fact].last.id}" if fact in before.steps else fact
        wanted = _fact(fact)(before).events
        after = self.store.record(run, dedupe, _fact(fact))
        if dedupe in model.facts or not wanted:
            assert after == before
            return
        model.facts.add(dedupe)
        model.seq += len(wanted) + (before.status.is_parked and after.status is Status.RUNNING)

    def _renew(self, act: Act) -> None:
        model = self.models[act.run]
        for holder in model.holders:
            is_ours = model.is_leased and holder.lease.generation == model.generation
            assert self.store.renew(holder.lease, LEASE) == (self.store.state(act.run).status if is_ours else None)

    def _release(self, act: Act) -> None:
        model = self.models[act.run]
        if model.holders:
            holder = model.holders[-1 - act.pick % len(model.holders)]
            self.store.release(holder.lease)
            model.is_leased = model.is_leased and holder.lease.generation != model.generation

    def _expire(self, act: Act) -> None:
        """The lease's time passes, and the half second after it."""
        model = self.models[act.run]
        if model.is_leased:
            self.store.client.hset(self.store.keys.run(act.run), "lease_until", 1)
            self.store.client.zadd(self._due(act.run), {act.run: 1}, xx=True)
            model.is_leased = False

    def _sweep(self, act: Act) -> None:
        now, due = time.time(), self._due_at(act.run)
        swept = self.store.sweep(self.store.keys.tag(act.run), BACK_OFF)
        assert (act.run in swept) is (due is not None and due <= now)
        for run in swept:
            assert (self._due_at(run) or 0) > now
            # The back-off passes.
            self.store.client.zadd(self._due(run), {run: 1}, xx=True)

    # --- Promises -------------------------------------------------------------------------------------------------

    def _look(self, run: str) -> None:
        state, model = self.store.state(run), self.models[run]
        self._log_is_whole(state, model)
        self._indexes_agree(state)
        fields = self.store.client.hgetall(self.store.keys.run(run))
        assert fields[b"status"].decode() == state.status
        assert int(fields[b"generation"]) == model.generation
        assert (int(fields[b"lease_until"]) > time.time() * 1000) is model.is_leased
        self._somebody_will_look(state, model)

    def _log_is_whole(self, state: RunState, model: Model) -> None:
        """No gap, no fork, no move that the table forbids; the state is the fold of it."""
        first, *rest = self.store.events(state.run)
        assert [event.seq for event in (first, *rest)] == list(range(1, model.seq + 1))
        assert isinstance(first.data, ev.RunAccepted)
        assert state == fold_all(first_state(state.run, first.data, first.time), rest)
        status = Status.QUEUED
        for move in (event.data for event in rest if isinstance(event.data, ev.StatusChanged)):
            assert move.source is status
            assert (status, move.target) in LEGAL
            status = move.target

    def _indexes_agree(self, state: RunState) -> None:
        client, keys, run = self.store.client, self.store.keys, state.run
        tag = keys.tag(run)
        found = {each for each in Status if client.zscore(keys.tenant(tag, TENANT, each), run) is not None}
        assert found == {state.status}
        assert client.zscore(keys.tenant(tag, TENANT), run) is not None
        live = {name.decode() for name in client.zrange(keys.attempts(tag), 0, -1) if name.decode().startswith(run)}
        assert live == {attempt.id for attempt in state.live_attempts()}
        assert (client.zscore(keys.ended(tag), run) is not None) is state.status.is_final
        entry = client.hget(keys.live(tag), run)
        assert (entry.decode() if entry else "") == live_entry(state)

    def _somebody_will_look(self, state: RunState, model: Model) -> None:
        """A run that is over is due to nobody, every other to somebody: its holder, or whoever comes in time."""
        due, now = self._due_at(state.run), time.time()
        keys = self.store.keys
        if self.store.client.zscore(keys.overdue(keys.tag(state.run)), state.run) is not None:
            assert due is not None and not model.is_leased
        if state.status.is_final:
            assert due is None
            return
        latest = LEASE + 1 if model.is_leased else LATER + 1 if state.status.is_parked else 0.0
        assert due is not None
        assert due <= now + latest
        if model.is_leased:
            assert due > now

    def _due(self, run: str) -> str:
        return self.store.keys.due(self.store.keys.tag(run))

    def _due_at(self, run: str) -> float | None:
        score: float | None = self.store.client.zscore(self._due(run), run)
        return None if score is None else score / 1000


def _refusal(model: Model, state: RunState) -> str | None:
    if state.status.is_final:
        return "final"
    if model.is_leased:
        return "busy"
    return "idle" if state.status.is_parked else None


def _decided(state: RunState, act: str) -> Draft | None:
    """What a worker may decide from `state`; None where the act makes no sense."""
    status, step = state.status, STEPS[state.seq % 2]
    tried = len(state.steps[step].attempts) if step in state.steps else 0
    match act, status:
        case (("take" | "step" | "park"), Status.QUEUED):
            return Draft((moved(status, Status.RUNNING),))
        case "step", Status.RUNNING if not (tried and state.steps[step].last.is_live):
            return Draft((submitted(step, tried + 1, state.run),))
        case "park", Status.RUNNING if live := [name for name in state.steps if state.steps[name].last.is_live]:
            wait = parked(*live, mode="any" if state.seq % 3 else "all", until=time.time() + LATER)
            return Draft((wait, moved(status, Status.WAITING)))
        case "ask", Status.RUNNING:
            return Draft((parked(until=time.time() + LATER), moved(status, Status.NEEDS_HUMAN)))
        case "finish", Status.RUNNING if state.seq > 12 and not state.live_attempts():
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


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(ACTS, min_size=40, max_size=100))
def test_the_store_keeps_its_promises_in_every_history(store: RunStore, acts: list[Act]) -> None:
    store.client.flushall()
    history = History(store)
    for act in (*(Act("create", run, 0, False) for run in RUNS), *acts):
        history.do(act)
