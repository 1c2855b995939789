"""Runs in Redis: their event logs, states, leases and indexes.

Every write is one script: all or nothing, and safe to send twice. A lease holder writes with `append`, under its
generation; everybody else records a fact with `record`, under a dedupe key. Neither ever blocks the other: who comes
second is told `Stale`, folds what is new and decides again.
"""

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from services.core import events as ev
from services.core.appended import Appended, Onlooker, tell
from services.core.errors import Conflict, Fenced, RunNotFound, Stale
from services.core.faults import reach
from services.core.fold import QUIET, first_state, fold
from services.core.history import PRUNED, History
from services.core.keys import CONTROLLER_CHANNEL, Keys, rank_id, run_channel, step_of_attempt
from services.core.lifecycle import FINAL, Status
from services.core.live import live_entry
from services.core.numbering import number
from services.core.payload import Payloads
from services.core.records import RunState
from services.core.redis import Client, answered, run_script, translated
from services.core.waiting import wake_delay

_FINAL = ",".join(sorted(FINAL))
_PARKED = ",".join(sorted(status for status in Status if status.is_parked))
_RECORD_TRIES = 50
# Quiet events bring no new snapshot, but a reader shall never have more than so many of them to fold.
_SNAPSHOT_EVERY = 50
# What the controller has to act on; it is told at once, and finds it by itself if the telling is lost.
_CONTROLLERS = (ev.StepSubmitted, ev.StepCancelRequested, ev.StatusChanged)


@dataclass(frozen=True)
class Talk:
    """One message of the conversation with the model, in the provider's own format.

    `turn` and `index` give its place: the assistant's reply has index -1, tool answers the index of their call, and
    what people say comes after both.
    """

    turn: int
    index: int
    message: dict[str, Any]

    def text(self) -> str:
        return json.dumps({"turn": self.turn, "index": self.index, "message": self.message}, ensure_ascii=False)


@dataclass(frozen=True)
class Draft:
    """What a writer wants to add to a run's log, and to its conversation."""

    events: tuple[ev.EventData, ...]
    talk: tuple[Talk, ...] = ()


@dataclass(frozen=True)
class Lease:
    """The right to advance a run, as long as no higher generation exists.

    `strikes`: how many holders in a row before this one died without writing a single event. `is_inherited`: the one
    before did not give the lease back, so it may have left something half done.
    """

    run: str
    generation: int
    strikes: int = 0
    is_inherited: bool = False


@dataclass(frozen=True)
class Refused:
    """Why there is no lease: `busy`, `idle`, `final` or `missing`."""

    why: str


@dataclass(frozen=True)
class Written:
    """What an append did: the state after it and the events as they stand in the log."""

    state: RunState
    events: tuple[ev.Event, ...] = field(default=())


class RunStore:
    """The runs of one install. Safe to share between threads. `onlookers` are told what is appended through it."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        payloads: Payloads,
        onlookers: Sequence[Onlooker] = (),
        history: History | None = None,
    ) -> None:
        """With a `history`, runs that have left Redis are read too. They cannot be written."""
        self.client = client
        self.keys = keys
        self._payloads = payloads
        self._onlookers = tuple(onlookers)
        self._history = history

    # --- Accepting ------------------------------------------------------------------------------------------------

    def create(self, run: str, request_hash: str, accepted: ev.RunAccepted) -> bool:
        """Accept a run. True when it is new, False when the same request made it before.

        Raises `Conflict` when the id belongs to another request.
        """
        now = time.time()
        tag, tenant = self.keys.tag(run), accepted.tenant
        state = first_state(run, accepted, now)
        keys = [
            self.keys.run(run),
            self.keys.events(run),
            self.keys.due(tag),
            self._listing(state),
            self._listing(state, Status.QUEUED),
            self.keys.live(tag),
        ]
        data = self._payloads.pack(_dump(accepted))
        args = [run, request_hash, int(now * 1000), tenant, Status.QUEUED, accepted.event_type, repr(now), data]
        args += [state.model_dump_json(), uuid4().hex, live_entry(state)]
        verdict = _text(run_script(self.client, "create", keys, args)[0])
        if verdict == "conflict":
            raise Conflict("this Idempotency-Key was used for another request; use a new key for a new goal")
        if verdict == "created":
            tell(self._onlookers, Appended(None, (ev.Event(run=run, seq=1, time=now, turn=0, data=accepted),), state))
        return verdict == "created"

    # --- Reading --------------------------------------------------------------------------------------------------

    @answered
    def state(self, run: str) -> RunState:
        """The run's state now. Raises `RunNotFound`, `NewerRecord`."""
        snapshot, seq, pruned = self.client.hmget(self.keys.run(run), "snapshot", "seq", PRUNED)
        if pruned is not None and self._history is not None:
            return self._history.state(run)
        if snapshot is None or seq is None:
            raise RunNotFound(f"there is no run {run}")
        state = RunState.read(snapshot)
        # Events that change nothing but seq are appended without a new snapshot.
        return state if state.seq >= int(seq) else self._caught_up(state)

    @answered
    def status(self, run: str) -> Status | None:
        """Where the run stands; None when there is no such run."""
        status = self.client.hget(self.keys.run(run), "status")
        return None if status is None else Status(_text(status))

    def state_for(self, tenant: str, run: str) -> RunState:
        """The run's state, if it is this tenant's. Raises `RunNotFound` otherwise."""
        state = self.state(run)
        if state.tenant != tenant:
            raise RunNotFound(f"there is no run {run}")
        return state

    @answered
    def events(self, run: str, after: int = 0, limit: int = 1000) -> list[ev.Event]:
        """Up to `limit` events with a seq above `after`, in order."""
        rows = self.client.xrange(self.keys.events(run), min=f"{after + 1}-0", count=limit)
        if not rows and self._history is not None:
            return self._history.events(run, after, limit)
        return [self._event(run, name, fields) for name, fields in rows]

    @answered
    def last_seq(self, run: str) -> int:
        """The seq of the run's last event; 0 when there is no such run."""
        seq, last_seq = self.client.hmget(self.keys.run(run), "seq", "last_seq")
        return int(seq or last_seq or 0)

    @answered
    def talk(self, run: str, start: int = 0) -> list[Talk]:
        """The conversation's entries from position `start` on, in the order they were written."""
        rows = self.client.lrange(self.keys.talk(run), start, -1)
        return [Talk(**json.loads(self._payloads.unpack(_text(row)))) for row in rows]

    @answered
    def ended(self, limit: int = 50) -> list[str]:
        """Runs that have ended and are not archived yet, oldest first within a shard."""
        tags = self.keys.tags()
        return [_text(run) for tag in tags for run in self.client.zrange(self.keys.ended(tag), 0, limit - 1)]

    def archived(self, run: str) -> None:
        """Take an ended run off the list of those to archive, and note it among those that are."""
        tag = self.keys.tag(run)
        run_script(self.client, "archived", [self.keys.run(run), self.keys.ended(tag), self.keys.archived(tag)], [run])

    def _event(self, run: str, name: bytes, fields: dict[bytes, bytes]) -> ev.Event:
        payload = self._payloads.unpack(_text(fields[b"data"]))
        return ev.Event(
            run=run,
            seq=int(name.split(b"-")[0]),
            time=float(fields[b"time"]),
            turn=int(fields[b"turn"]),
            data=ev.read_data(_text(fields[b"type"]), payload),
        )

    def _caught_up(self, state: RunState) -> RunState:
        while batch := self.events(state.run, after=state.seq):
            for event in batch:
                state = fold(state, event)
        return state

    # --- Writing --------------------------------------------------------------------------------------------------

    def append(
        self, lease: Lease, state: RunState, draft: Draft, *, release: bool = False, wake_in: float | None = None
    ) -> Written:
        """Write what the holder of `lease` decided from `state`.

        Raises `Fenced` when a higher generation exists, `Stale` when the log has moved on since `state`.
        `release` gives the lease back in the same write; `wake_in` says in how many seconds the run is due again.
        """
        return self._append(state, draft, str(lease.generation), "", release, wake_in)

    def record(self, run: str, dedupe: str, decide: Callable[[RunState], Draft]) -> RunState:
        """Write an outside fact once, whoever repeats it. `decide` sees the state and may be asked again.

        A run that is over takes no more facts: `decide` is still asked, and an empty draft writes nothing.
        Raises `RunNotFound`.
        """
        for _ in range(_RECORD_TRIES):
            state = self.state(run)
            draft = decide(state)
            if not draft.events:
                return state
            try:
                return self._append(state, draft, "", dedupe, False, None).state
            except Stale:
                continue
        raise Stale(f"run {run} is too busy; repeat the request")

    def _append(
        self, state: RunState, draft: Draft, generation: str, dedupe: str, release: bool, wake_in: float | None
    ) -> Written:
        now = time.time()
        events, after = number(state, draft.events, now, outside=not generation)
        delay = wake_in if wake_in is not None else wake_delay(state, after, now)
        if release and delay is None:
            delay = 0.0
        keys, args = self._append_call(state, after, events, draft.talk)
        head = [state.run, state.seq, generation, uuid4().hex, int(state.created * 1000), state.status, after.status]
        is_quiet = all(isinstance(event.data, QUIET) for event in events)
        spares = is_quiet and after.seq // _SNAPSHOT_EVERY == state.seq // _SNAPSHOT_EVERY
        snapshot = "" if spares else after.model_dump_json()
        ended = "1" if after.status.is_final and not state.status.is_final else ""
        head += [
            _wake(delay),
            snapshot,
            run_channel(state.run),
            "1" if release else "",
            ended,
            dedupe,
            live_entry(after),
        ]
        verdict, value = (_text(part) for part in run_script(self.client, "append", keys, [*head, *args]))
        if verdict == "ok":
            reach("store.appended")
            if events:
                tell(self._onlookers, Appended(state, tuple(events), after))
        if verdict == "ok" and any(isinstance(event.data, _CONTROLLERS) for event in events):
            with translated():
                self.client.publish(CONTROLLER_CHANNEL, state.run)
        if verdict == "ok":
            return Written(after, tuple(events))
        if verdict == "seen":
            return Written(self.state(state.run))
        if verdict == "fenced":
            raise Fenced(f"run {state.run} is held by generation {value}")
        if verdict == "stale":
            raise Stale(f"run {state.run} is at event {value}, not {state.seq}")
        raise RunNotFound(f"there is no run {state.run}")

    def _append_call(
        self, state: RunState, after: RunState, events: Sequence[ev.Event], talk: Sequence[Talk]
    ) -> tuple[list[str], list[str | int]]:
        run, tag = state.run, self.keys.tag(state.run)
        keys = [
            self.keys.run(run),
            self.keys.events(run),
            self.keys.talk(run),
            self.keys.seen(run),
            self.keys.due(tag),
            self._listing(state, state.status),
            self._listing(state, after.status),
            self.keys.attempts(tag),
            self.keys.ended(tag),
            self.keys.live(tag),
            self.keys.overdue(tag),
        ]
        args: list[str | int] = [len(events)]
        for event in events:
            args += [event.event_type, repr(event.time), event.turn, self._payloads.pack(_dump(event.data))]
        args += [len(talk), *(self._payloads.pack(entry.text()) for entry in talk)]
        begun = _ranks(after, [event.data.attempt for event in events if isinstance(event.data, ev.StepSubmitted)])
        over = _ranks(after, [event.data.attempt for event in events if isinstance(event.data, ev.AttemptFinished)])
        return keys, [*args, len(begun), *begun, len(over), *over]

    def _listing(self, state: RunState, status: str = "") -> str:
        """The index that lists the run: a research stands in none of those that list and count a tenant's goals."""
        listing = self.keys.researches if state.parent else self.keys.tenant
        return listing(self.keys.tag(state.run), state.tenant, status)

    # --- Leases ---------------------------------------------------------------------------------------------------

    def claim(self, run: str, owner: str, lease_seconds: float) -> Lease | Refused:
        """Take the run's lease. `owner` is new for every claim, so that a repeated request is known as such."""
        tag = self.keys.tag(run)
        keys = [self.keys.run(run), self.keys.due(tag), self.keys.overdue(tag)]
        args = [run, owner, int(lease_seconds * 1000), _FINAL, _PARKED]
        verdict, *values = (_text(part) for part in run_script(self.client, "claim", keys, args))
        if verdict != "ok":
            return Refused(verdict)
        return Lease(run, int(values[0]), int(values[1]), bool(values[2]))

    def renew(self, lease: Lease, lease_seconds: float) -> Status | None:
        """Extend the lease. The run's status, or None when the lease is lost."""
        keys = [self.keys.run(lease.run), self.keys.due(self.keys.tag(lease.run))]
        status = _text(run_script(self.client, "renew", keys, [lease.run, lease.generation, int(lease_seconds * 1000)]))
        return Status(status) if status else None

    def release(self, lease: Lease) -> None:
        """Give the lease back; the run is due when it last said."""
        keys = [self.keys.run(lease.run), self.keys.due(self.keys.tag(lease.run))]
        run_script(self.client, "release", keys, [lease.run, lease.generation])

    def sweep(self, tag: str, backoff_seconds: float, limit: int = 200) -> list[str]:
        """The runs of one shard that somebody must look at, each named again only after the back-off."""
        keys = [self.keys.due(tag), self.keys.overdue(tag)]
        due = run_script(self.client, "sweep", keys, [int(backoff_seconds * 1000), limit])
        return [_text(run) for run in due]


def _ranks(state: RunState, attempts: Collection[str]) -> list[str]:
    """Every name under which these attempts report: an attempt on several nodes has one for each rank."""
    steps = {step_of_attempt(attempt) for attempt in attempts}
    known = [one for step in steps for one in state.steps[step].attempts if one.id in attempts]
    return [rank_id(one.id, rank) for one in known for rank in range(one.resources.nodes)]


def _dump(data: ev.EventData) -> str:
    return json.dumps(data.wire(), ensure_ascii=False, separators=(",", ":"))


def _wake(delay: float | None) -> str:
    if delay is None:
        return ""
    return "never" if delay == float("inf") else str(int(delay * 1000))


def _text(value: bytes | str | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
