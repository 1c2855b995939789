"""Following a run: its events in order, each once, whatever happens to the connection in between."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from services.cli.problems import Bewildering, Unreachable
from services.cli.sse import Message
from services.core.events import KINDS, EventData

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
GIVE_UP_SECONDS = 600.0


@dataclass(frozen=True)
class Told:
    """An event of the log. `data` is None where this version does not know its kind; `wire` is what was received."""

    seq: int
    time: float
    turn: int
    kind: str
    data: EventData | None
    wire: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Observed:
    """What a live attempt says of itself. Not kept in the log: it may be missed without harm."""

    step: str
    attempt: str
    fraction: float | None = None
    text: str = ""
    eta_seconds: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """Nothing more comes: the run is over, or needs a human."""

    status: str
    exit_code: int


@dataclass(frozen=True)
class Lost:
    """The connection is gone; the next try is made in `retry_seconds`."""

    why: str
    retry_seconds: float


@dataclass(frozen=True)
class Back:
    """The connection stands again."""


Item = Told | Observed | Ended | Lost | Back


def follow(
    open_stream: Callable[[int], Iterator[Message]], after: int, sleep: Callable[[float], None]
) -> Iterator[Item]:
    """Everything after seq `after` until the run's end, reconnecting where the stream breaks off.

    `open_stream(seq)` opens the stream after an event. Raises `Unreachable` when nothing answered for
    `GIVE_UP_SECONDS` of pauses in a row.
    """
    last, waited, pause = after, 0.0, FIRST_PAUSE_SECONDS
    while True:
        why = "the API closed the stream"
        try:
            for item in _items(open_stream(last), last):
                if waited:
                    yield Back()
                    waited, pause = 0.0, FIRST_PAUSE_SECONDS
                last = item.seq if isinstance(item, Told) else last
                yield item
                if isinstance(item, Ended):
                    return
        except Unreachable as error:
            why = str(error)
        if waited >= GIVE_UP_SECONDS:
            raise Unreachable(why)
        yield Lost(why, pause)
        sleep(pause)
        waited, pause = waited + pause, min(pause * 2, LONGEST_PAUSE_SECONDS)


def _items(stream: Iterator[Message], after: int) -> Iterator[Item]:
    for message in stream:
        item = read_message(message)
        if isinstance(item, Told):
            if item.seq <= after:
                continue
            after = item.seq
        if item is not None:
            yield item


def read_message(message: Message) -> Item | None:
    """What one server-sent event means; None for one that says nothing to us. Raises `Bewildering`."""
    try:
        wire = json.loads(message.data)
        match message.event:
            case "end":
                return Ended(str(wire["status"]), int(wire["exit_code"]))
            case "progress":
                return _observed(wire)
            case _:
                return read_event(wire) if message.id else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Bewildering(f"the stream holds what is no event of Cohort's ({message.event[:40]!r})") from error


def read_event(wire: dict[str, Any]) -> Told:
    """An event out of its wire form. Raises `KeyError` or `TypeError` on what is none."""
    kind = str(wire["event_type"])
    model = KINDS.get(kind)
    try:
        data = None if model is None else model.model_validate(wire["data"] or {})
    except ValidationError:
        # A newer server may have changed the kind: shown as an unknown one.
        data = None
    return Told(int(wire["seq"]), float(wire["time"]), int(wire["turn"]), kind, data, wire)


def _observed(wire: dict[str, Any]) -> Observed:
    progress = wire.get("progress") or {}
    newest: dict[str, float] = {}
    for metric in wire.get("metrics") or []:
        newest[str(metric["name"])] = float(metric["value"])
        for axis in ("epoch", "step"):
            if metric.get(axis) is not None:
                newest[axis] = float(metric[axis])
    attempt = str(wire["attempt"])
    return Observed(
        step=str(wire.get("step") or attempt),
        attempt=attempt,
        fraction=_number(progress.get("fraction")),
        text=str(progress.get("text") or ""),
        eta_seconds=_number(progress.get("eta_seconds")),
        metrics=newest,
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
