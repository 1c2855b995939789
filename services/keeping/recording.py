"""What Redis holds of a run that is over, taken down for its archive, and all the keys in which it lies."""

import json
from collections.abc import Iterator

from services.core.archive import AttemptRecords, RunRecords
from services.core.events import Event
from services.core.keys import Keys, rank_id
from services.core.records import RunState
from services.core.redis import translated
from services.core.store import RunStore
from services.keeping.run_look import cost_of

_PARTS = ("", "tail", "segments", "order", "metrics", "samples", "warnings", "outputs")
_SANDBOX_PARTS = ("", "queue", "begun")


def ranks_of(state: RunState) -> list[str]:
    """Every name under which the run's attempts reported."""
    attempts = [attempt for step in state.steps.values() for attempt in step.attempts]
    return [rank_id(attempt.id, rank) for attempt in attempts for rank in range(attempt.resources.nodes)]


def keys_of(keys: Keys, state: RunState) -> list[str]:
    """Every key of the run but its hash."""
    names = [keys.events(state.run), keys.talk(state.run), keys.seen(state.run)]
    names += [keys.sandbox(state.run, part) for part in _SANDBOX_PARTS]
    return names + [keys.attempt(name, part) for name in ranks_of(state) for part in _PARTS]


def taken_down(store: RunStore, state: RunState) -> tuple[bytes, RunRecords]:
    """The run's log, an event a line, and everything else that is known of it. Raises `StoreUnavailable` and what
    reading its payloads raises."""
    lines, microdollars = [], 0
    for event in all_events(store, state.run):
        lines.append(json.dumps(event.wire(), ensure_ascii=False).encode() + b"\n")
        microdollars += cost_of(event.data)
    with translated():
        request = store.client.hget(store.keys.run(state.run), "request") or b""
    records = RunRecords(
        run=state.run,
        seq=state.seq,
        request=request.decode(),
        microdollars=microdollars,
        talk=tuple(entry.text() for entry in store.talk(state.run)),
        attempts={name: _attempt(store, name) for name in ranks_of(state)},
    )
    return b"".join(lines), records


def all_events(store: RunStore, run: str) -> Iterator[Event]:
    """The whole log of a run."""
    after = 0
    while batch := store.events(run, after):
        yield from batch
        after = batch[-1].seq


def _attempt(store: RunStore, name: str) -> AttemptRecords:
    client = store.client
    key, metrics, samples, warnings, outputs, order, segments = (
        store.keys.attempt(name, part)
        for part in ("", "metrics", "samples", "warnings", "outputs", "order", "segments")
    )
    with translated():
        return AttemptRecords(
            fields=_texts(client.hgetall(key)),
            metrics=_list(client.lrange(metrics, 0, -1)),
            samples=_list(client.lrange(samples, 0, -1)),
            warnings=_list(client.zrange(warnings, 0, -1)),
            outputs=_texts(client.hgetall(outputs)),
            order=_list(client.lrange(order, 0, -1)),
            segments=_list(client.zrange(segments, 0, -1)),
        )


def _texts(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}


def _list(rows: list[bytes]) -> tuple[str, ...]:
    return tuple(row.decode() for row in rows)
