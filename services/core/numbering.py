"""Drafted events become events of a run's log: their seq, time and turn, and the state after them. Pure."""

from collections.abc import Sequence

from services.core import events as ev
from services.core.fold import fold
from services.core.records import RunState
from services.core.waiting import wake_up


def number(
    state: RunState, drafted: Sequence[ev.EventData], now: float, *, outside: bool
) -> tuple[list[ev.Event], RunState]:
    """Give drafted events their seq, time and turn, and fold them.

    Outside facts that wake a parked run bring the move with them, after the last of them: an attempt that is tried
    again in the same breath is not over.
    """
    events: list[ev.Event] = []
    for data in drafted:
        state = _number(events, state, data, now)
    woken = next((move for data in drafted if (move := wake_up(state, data))), None) if outside else None
    if woken is not None:
        state = _number(events, state, woken, now)
    return events, state


def _number(events: list[ev.Event], state: RunState, data: ev.EventData, now: float) -> RunState:
    # A call that failed is made again in the same turn.
    opens_turn = isinstance(data, ev.LlmRequest) and not state.model_failures
    event = ev.Event(run=state.run, seq=state.seq + 1, time=now, turn=state.turn + opens_turn, data=data)
    events.append(event)
    return fold(state, event)
