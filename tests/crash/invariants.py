"""What must hold for every run, whatever was killed. Each function raises AssertionError that says what doesn't."""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from services.core import events as ev
from services.core.fold import first_state, fold_all
from services.core.ledger import Ledger
from services.core.lifecycle import check_move
from services.core.records import MICRODOLLARS, RunState
from services.worker.conversation import ordered
from services.worker.tools import TOOLS
from services.worker.tools.tool import Replay
from tests.crash.fleet import Fleet


def hold(fleet: Fleet, *runs: str) -> None:
    """Check runs that are over and archived."""
    for run in runs:
        state, events = fleet.store.state(run), _all_events(fleet, run)
        log_is_whole(state, events)
        moves_are_legal(events)
        calls_are_answered_once(events)
        conversation_is_sound(fleet, state)
        attempts_follow_one_another(events)
        spend_is_the_journals_sum(fleet, state, events)
        nothing_is_left(fleet, state)
        archive_is_whole(fleet, state, events)


def log_is_whole(state: RunState, events: Sequence[ev.Event]) -> None:
    """seq is 1, 2, 3 …, and the state is what the events fold to."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), "the log has a gap or a fork"
    accepted = events[0].data
    assert isinstance(accepted, ev.RunAccepted)
    folded = fold_all(first_state(state.run, accepted, events[0].time), events[1:])
    assert folded == state, f"the log folds to another state:\n{folded}\n{state}"


def moves_are_legal(events: Sequence[ev.Event]) -> None:
    """Each move begins where the one before it led, and is a row of the table."""
    moves = [event.data for event in events if isinstance(event.data, ev.StatusChanged)]
    for move in moves:
        check_move(move.source, move.target)
    for before, after in pairwise(moves):
        assert before.target == after.source, f"{before} is followed by {after}"
    assert moves[-1].target.is_final, f"the last move is {moves[-1]}"


def calls_are_answered_once(events: Sequence[ev.Event]) -> None:
    """Every tool call and every model call has one intent and one outcome; what is unsafe was begun once at most."""
    intents = Counter(event.data.tool_call_id for event in events if isinstance(event.data, ev.ToolCall))
    answers = Counter(event.data.tool_call_id for event in events if isinstance(event.data, ev.ToolOutput))
    begun = Counter(event.data.tool_call_id for event in events if isinstance(event.data, ev.ToolStateChange))
    assert set(intents.values()) <= {1}, f"called twice: {intents}"
    assert set(answers.values()) <= {1}, f"answered twice: {answers}"
    assert set(begun.values()) <= {1}, f"begun twice: {begun}"
    asked = Counter(event.data.call for event in events if isinstance(event.data, ev.LlmRequest))
    came = Counter(event.data.call for event in events if isinstance(event.data, ev.LlmCall | ev.LlmFailed))
    assert set(asked.values()) <= {1}, f"asked twice: {asked}"
    assert set(came.values()) <= {1}, f"replied twice: {came}"
    assert came.keys() <= asked.keys(), f"replies to nothing: {came.keys() - asked.keys()}"


def conversation_is_sound(fleet: Fleet, state: RunState) -> None:
    """Every call of every reply is answered right after it, in call order, as providers demand."""
    awaited: list[str] = []
    for message in (entry.message for entry in ordered(fleet.store.talk(state.run))):
        if message["role"] == "tool":
            assert awaited and message["tool_call_id"] == awaited.pop(0), f"out of order: {message}"
            continue
        assert not awaited or state.status.is_final, f"not answered: {awaited}"
        awaited = [call["id"] for call in message.get("tool_calls") or ()]


def attempts_follow_one_another(events: Sequence[ev.Event]) -> None:
    """A step never has two live attempts, and each attempt ends once."""
    live: dict[str, str] = {}
    for event in events:
        match event.data:
            case ev.StepSubmitted(step=step, attempt=attempt):
                assert step not in live, f"{attempt} begins beside {live.get(step)}"
                live[step] = attempt
            case (
                ev.AttemptStarted(step=step, attempt=attempt)
                | ev.AttemptProgressed(step=step, attempt=attempt)
                | ev.AttemptFinished(step=step, attempt=attempt)
            ):
                assert live.get(step) == attempt, f"{attempt} is told of while {live.get(step)} is live"
                if isinstance(event.data, ev.AttemptFinished):
                    del live[step]
    assert not live, f"never ended: {live}"


def spend_is_the_journals_sum(fleet: Fleet, state: RunState, events: Sequence[ev.Event]) -> None:
    """The run's spend is the sum of its events, the tenant's account says the same, and nothing is held any more.

    What its researches have used is part of it. Every run of the crash tests has a tenant of its own.
    """
    paid = (ev.LlmCall, ev.LlmFailed, ev.AttemptFinished, ev.ResearchFinished)
    total = sum(round(event.data.cost_usd * MICRODOLLARS) for event in events if isinstance(event.data, paid))
    assert state.spend.microdollars == total, f"the run says {state.spend.microdollars}, its events {total}"
    assert not state.spend.holds, f"the run still holds {state.spend.holds}"
    spent, reserved, _ = Ledger(fleet.client).account(state.tenant)
    assert reserved == 0, f"the tenant's account still holds {reserved}"
    assert spent == total, f"the tenant's account says {spent}, the run's events {total}"


def nothing_is_left(fleet: Fleet, state: RunState) -> None:
    """No live attempt, no due entry, no directory, no process of a run that is over."""
    tag = fleet.keys.tag(state.run)
    assert fleet.client.zscore(fleet.keys.due(tag), state.run) is None, "the run is still due"
    assert fleet.client.zscore(fleet.keys.overdue(tag), state.run) is None, "the run still waits for a worker"
    assert not fleet.client.hexists(fleet.keys.live(tag), state.run), "the run still counts as live"
    live = [name.decode() for name in fleet.client.zrange(fleet.keys.attempts(tag), 0, -1)]
    assert not [name for name in live if name.startswith(state.run)], f"live attempts: {live}"
    listed = [fleet.keys.tenant(tag, state.tenant, status) for status in type(state.status)]
    at = [key for key in listed if fleet.client.zscore(key, state.run) is not None]
    assert at == [fleet.keys.tenant(tag, state.tenant, state.status)], f"listed under {at}"
    strays = {pid: command for pid, command in fleet.strays().items() if state.run in command}
    assert not strays, f"processes are left: {strays}"


def archive_is_whole(fleet: Fleet, state: RunState, events: Sequence[ev.Event]) -> None:
    """What outlives Redis is what Redis holds."""
    data = gzip.decompress(fleet.artifacts.get_named(f"archive/{state.run}/events.jsonl.gz"))
    assert [json.loads(line) for line in data.splitlines()] == [event.wire() for event in events]


def unsafe_calls(events: Sequence[ev.Event]) -> list[str]:
    """Every call of an unsafe tool, by id."""
    calls = [event.data for event in events if isinstance(event.data, ev.ToolCall)]
    return [call.tool_call_id for call in calls if TOOLS[call.tool].replay is Replay.UNSAFE]


def _all_events(fleet: Fleet, run: str) -> list[ev.Event]:
    events: list[ev.Event] = []
    while batch := fleet.store.events(run, after=len(events)):
        events += batch
    return events
