"""One look at one run: its log read and folded, and compared with everything that is made from it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from services.core import events as ev
from services.core.artifacts import ArtifactDamaged, ArtifactNotFound
from services.core.errors import IllegalTransition, NewerRecord
from services.core.fold import first_state, fold
from services.core.keys import rank_id
from services.core.records import MICRODOLLARS, RunState
from services.core.redis import translated
from services.keeping.facts import Facts, facts_of
from services.keeping.findings import Finding, Kind
from services.keeping.holdings import Holdings
from services.keeping.install import Install
from services.keeping.run_checks import ends_of_log, listed, placed

_EVENTS = 500
_TALK = 200
_UNREADABLE = (ValueError, KeyError, IllegalTransition, ArtifactNotFound, ArtifactDamaged)


@dataclass
class RunLook:
    """What a look found. `microdollars` is what the run's log says was spent, of `tenant`; `facts` what it rests on."""

    run: str
    facts: Facts | None = None
    tenant: str = ""
    microdollars: int = 0
    state: RunState | None = None
    findings: list[Finding] = field(default_factory=list)


class _Unreadable(Exception):
    """The log cannot be read to its end; the finding is written already."""


class RunLooks:
    """Looks at runs, one at a time. Raises `StoreUnavailable`, `ArtifactStoreUnavailable`."""

    def __init__(self, install: Install, holdings: Holdings) -> None:
        self._install = install
        self._holdings = holdings

    def look(self, run: str) -> RunLook:
        """Look at a run; one that is gone has no findings."""
        looked = RunLook(run)
        with translated():
            tenant = self._install.client.hget(self._install.keys.run(run), "tenant")
        if tenant is None:
            return looked
        looked.tenant = tenant.decode()
        facts = looked.facts = facts_of(self._install.client, self._install.keys, run, looked.tenant)
        if facts.is_pruned:
            self._judge_pruned(looked, facts)
        elif facts.fields:
            with suppress(_Unreadable):
                self._judge(looked, facts)
        return looked

    def _judge(self, looked: RunLook, facts: Facts) -> None:
        if (wrong := ends_of_log(facts)) is not None:
            looked.findings.append(wrong)
            return
        seen = _Seen()
        folded = self._folded(looked, facts, seen)
        looked.findings += self._missing(looked.run, seen)
        if seen.has_unknown:
            looked.findings.append(Finding(Kind.NEWER, looked.run, "a newer version has written to its log"))
            return
        looked.state = folded
        now_ms = int(time.time() * 1000)
        looked.findings += placed(facts, folded, self._install.keys, now_ms)
        looked.findings += self._snapshot(facts, folded)
        looked.findings += self._live(folded)
        looked.findings += self._step_logs(folded)

    def _judge_pruned(self, looked: RunLook, facts: Facts) -> None:
        """A run that has left Redis: its archive is whole, and the listings still name it."""
        looked.microdollars = int(facts.fields.get("microdollars", "0"))
        if not self._install.archive.is_complete(looked.run, int(facts.fields.get("last_seq", "0"))):
            text = "it has left Redis, and its archive cannot be read to its end"
            looked.findings.append(Finding(Kind.ARCHIVE, looked.run, text))
            return
        state = self._install.archive.fresh_state(looked.run)
        looked.findings += listed(facts, state, self._install.keys)
        looked.findings += self._step_logs(state)
        blobs = [(file.sha256, file.size) for file in state.artifacts]
        problems = [self._holdings.object(*blob) for blob in blobs] + list(self._holdings.snapshot(state.snapshot))
        looked.findings += [Finding(Kind.OBJECT, looked.run, problem) for problem in problems if problem]

    def _folded(self, looked: RunLook, facts: Facts, seen: "_Seen") -> RunState:
        """The state after the event that was the last one when the facts were taken."""
        state: RunState | None = None
        try:
            for event in self._events(looked, facts.seq, seen):
                seen.take(event)
                looked.microdollars += cost_of(event.data)
                state = _after(state, event)
        except _UNREADABLE as error:
            text = f"its log cannot be followed at event {1 if state is None else state.seq + 1}: {_plain(error)}"
            looked.findings.append(Finding(Kind.LOG, looked.run, text))
            raise _Unreadable from error
        assert state is not None
        return state

    def _events(self, looked: RunLook, last: int, seen: "_Seen") -> Iterator[ev.Event]:
        after = 0
        while after < last:
            seen.packed |= self._packed(looked.run, after, last)
            if problem := next(filter(None, map(self._holdings.object, sorted(seen.packed))), None):
                looked.findings.append(Finding(Kind.OBJECT, looked.run, f"of its log: {problem}"))
                raise _Unreadable
            seen.packed.clear()
            batch = self._install.store.events(looked.run, after, min(_EVENTS, last - after))
            if not batch:
                raise ValueError(f"event {after + 1} is gone")
            yield from batch
            after = batch[-1].seq

    def _packed(self, run: str, after: int, last: int) -> set[str]:
        """The objects that hold the next events' payloads."""
        with translated():
            names = self._install.client.xrange(
                self._install.keys.events(run), f"{after + 1}-0", f"{last}-0", count=_EVENTS
            )
        data = (fields.get(b"data", b"") for _, fields in names)
        return {payload[1:].decode("utf-8", "replace") for payload in data if payload.startswith(b"@")}

    def _missing(self, run: str, seen: "_Seen") -> Iterator[Finding]:
        found = [problem for root in sorted(seen.snapshots) for problem in self._holdings.snapshot(root)]
        found += filter(None, (self._holdings.object(*blob) for blob in sorted(seen.blobs)))
        found += filter(None, map(self._holdings.object, self._talk(run)))
        yield from (Finding(Kind.OBJECT, run, problem) for problem in dict.fromkeys(found))

    def _talk(self, run: str) -> Iterator[str]:
        """The objects that hold entries of the conversation."""
        start, key = 0, self._install.keys.talk(run)
        while True:
            with translated():
                rows = self._install.client.lrange(key, start, start + _TALK - 1)
            yield from (row[1:].decode("utf-8", "replace") for row in rows if row.startswith(b"@"))
            if len(rows) < _TALK:
                return
            start += _TALK

    def _snapshot(self, facts: Facts, folded: RunState) -> Iterator[Finding]:
        try:
            state = RunState.read(facts.fields["snapshot"])
            for event in self._install.store.events(facts.run, state.seq, max(0, facts.seq - state.seq) or 1):
                state = fold(state, event) if event.seq <= facts.seq else state
        except NewerRecord:
            yield Finding(Kind.NEWER, facts.run, "a newer version has written its snapshot")
            return
        except _UNREADABLE as error:
            yield Finding(Kind.SNAPSHOT, facts.run, f"its snapshot cannot be read: {_plain(error)}")
            return
        names = [
            name for name in sorted(state.model_fields_set) if not _agree(getattr(state, name), getattr(folded, name))
        ]
        if names:
            yield Finding(Kind.SNAPSHOT, facts.run, f"its snapshot differs from its log in {', '.join(names)}")

    def _live(self, state: RunState) -> Iterator[Finding]:
        for attempt in state.live_attempts():
            for rank in range(attempt.resources.nodes):
                if not self._is_live(rank_id(attempt.id, rank)):
                    yield Finding(Kind.LIVE, state.run, f"{rank_id(attempt.id, rank)} is live and not in the index")

    def _is_live(self, name: str) -> bool:
        return self._install.attempts.is_live(name)

    def _step_logs(self, state: RunState) -> Iterator[Finding]:
        for step in state.steps.values():
            for attempt in step.attempts:
                for name in (rank_id(attempt.id, rank) for rank in range(attempt.resources.nodes)):
                    for problem in self._holdings.step_log(self._install.logs, name):
                        yield Finding(Kind.STEP_LOG, name, problem)


@dataclass
class _Seen:
    """What a log names in the artifact store."""

    packed: set[str] = field(default_factory=set)
    snapshots: set[str] = field(default_factory=set)
    blobs: set[tuple[str, int]] = field(default_factory=set)
    has_unknown: bool = False

    def take(self, event: ev.Event) -> None:
        match event.data:
            case ev.RunAccepted() | ev.WorkspaceChanged():
                self.snapshots.add(event.data.snapshot)
            case ev.StepSubmitted():
                self.snapshots |= {event.data.snapshot, event.data.restores}
            case ev.AttemptFinished():
                self.snapshots.add(event.data.checkpoint)
                self.blobs |= {(file.sha256, file.size) for file in event.data.outputs}
            case ev.RunFinished():
                self.blobs |= {(file.sha256, file.size) for file in event.data.artifacts}
            case ev.Unknown():
                self.has_unknown = True


def cost_of(data: ev.EventData) -> int:
    """What an event says was spent, in microdollars. What a research used is in that run's own log."""
    is_paid = isinstance(data, ev.LlmCall | ev.LlmFailed | ev.AttemptFinished)
    return round(data.cost_usd * MICRODOLLARS) if is_paid else 0  # type: ignore[attr-defined]


def costs(install: Install, run: str) -> int | None:
    """What a run's log says was spent, in microdollars; None where it cannot be read."""
    total, after = 0, 0
    try:
        while batch := install.store.events(run, after):
            total += sum(cost_of(event.data) for event in batch)
            after = batch[-1].seq
    except _UNREADABLE:
        return None
    return total


def _after(state: RunState | None, event: ev.Event) -> RunState:
    if state is not None:
        return fold(state, event)
    if not isinstance(event.data, ev.RunAccepted):
        raise ValueError(f"a log begins with {ev.RunAccepted.event_type}, not {event.event_type}")
    return first_state(event.run, event.data, event.time)


def _plain(error: Exception) -> str:
    """A line about an error, without what a run's people wrote."""
    if isinstance(error, ValidationError):
        return f"{error.error_count()} field(s) cannot be read, first {'.'.join(map(str, error.errors()[0]['loc']))}"
    if isinstance(error, ArtifactNotFound | ArtifactDamaged):
        return str(error)
    return f"{type(error).__name__}: {str(error)[:200]}"


def _agree(said: object, made: object) -> bool:
    """Whether a snapshot says what the log makes, in all that it says: an earlier version wrote fewer fields."""
    if isinstance(said, BaseModel) and isinstance(made, BaseModel):
        return all(_agree(getattr(said, name), getattr(made, name)) for name in said.model_fields_set)
    if isinstance(said, Mapping) and isinstance(made, Mapping):
        return said.keys() == made.keys() and all(_agree(said[name], made[name]) for name in said)
    if isinstance(said, tuple) and isinstance(made, tuple):
        return len(said) == len(made) and all(map(_agree, said, made))
    return said == made
