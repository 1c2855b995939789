"""Events on the wire."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from services.core import events as ev
from services.core.lifecycle import Status
from services.core.records import Diagnosis, Stage
from services.core.resources import Resources
from services.core.taxonomy import Failure, Owner
from tests.core.examples import (
    RUN,
    accepted,
    finished,
    llm_call,
    message,
    moved,
    parked,
    research_finished,
    research_started,
    submitted,
    tool_output,
)

DIAGNOSIS = Diagnosis(
    failure=Failure.STOPPED,
    owner=Owner.PLATFORM,
    code="preempted",
    summary="another pod took its place",
    evidence=("DisruptionTarget: PreemptionByScheduler",),
    is_retriable=True,
    wait_seconds=5.0,
)

# The names that users of ml-intern know.
DOCUMENTED = {
    "processing",
    "ready",
    "assistant_chunk",
    "assistant_message",
    "assistant_stream_end",
    "tool_call",
    "tool_output",
    "tool_log",
    "tool_state_change",
    "approval_required",
    "turn_complete",
    "error",
    "interrupted",
    "compacted",
    "undo_complete",
    "shutdown",
}


def test_the_documented_events_keep_their_names() -> None:
    assert set(ev.KINDS) >= DOCUMENTED


def test_every_kind_has_a_name_of_its_own_and_a_contract() -> None:
    kinds = list(_kinds(ev.EventData))
    assert len({kind.event_type for kind in kinds}) == len(kinds)
    assert all(kind.__doc__ for kind in kinds)


def test_an_event_on_the_wire_has_six_keys() -> None:
    assert ev.Event(RUN, 7, 12.5, 3, ev.ToolLog(tool="bash", log="x")).wire() == {
        "event_type": "tool_log",
        "data": {"tool": "bash", "log": "x"},
        "run": RUN,
        "seq": 7,
        "time": 12.5,
        "turn": 3,
    }


@pytest.mark.parametrize("data", [ev.Interrupted(), ev.UndoComplete(), ev.Shutdown()], ids=lambda data: data.event_type)
def test_events_without_data_say_null(data: ev.EventData) -> None:
    assert data.wire() is None


def test_a_turn_without_a_last_word_says_so() -> None:
    assert ev.TurnComplete(history_size=3, final_response=None).wire() == {"history_size": 3, "final_response": None}


@pytest.mark.parametrize(
    "data",
    [
        accepted(labels={"a": "ü"}, deadline=5.0),
        moved(Status.QUEUED, Status.RUNNING),
        submitted("a"),
        finished("a"),
        finished("a").model_copy(update={"diagnosis": DIAGNOSIS}),
        ev.AttemptProgressed(step="a", attempt="r-a-1", stage=Stage.PULLING, detail="train:1"),
        message("line\n\u2028 \U0001f600"),
        llm_call("1"),
        parked("a", mode="any", until=4.5),
        tool_output("a"),
        accepted(parent={"run": RUN, "tool_call_id": "a"}),
        research_started(reserved=5),
        research_finished(cost_usd=0.5),
        ev.Shutdown(),
        ev.TurnComplete(history_size=3, final_response=None),
    ],
    ids=lambda data: data.event_type,
)
def test_what_is_written_is_read_again(data: ev.EventData) -> None:
    assert ev.read_data(data.event_type, json.dumps(data.wire())) == data


def test_keys_of_a_newer_version_are_read_over() -> None:
    assert ev.read_data("tool_log", '{"tool": "bash", "log": "x", "colour": "red"}') == ev.ToolLog(tool="bash", log="x")


def test_a_kind_of_a_newer_version_is_shown_as_it_stands_and_changes_nothing() -> None:
    data = ev.read_data("teleported", '{"to": "mars"}')
    event = ev.Event(run="r", seq=2, time=2.0, turn=0, data=data)
    assert event.wire()["event_type"] == "teleported"
    assert event.wire()["data"] == {"to": "mars"}


def test_events_are_frozen() -> None:
    data: Any = message()
    with pytest.raises(ValueError, match="frozen"):
        data.content = "other"


def _kinds(root: type[BaseModel]) -> Iterator[type[ev.EventData]]:
    for kind in root.__subclasses__():
        if issubclass(kind, ev.EventData) and "event_type" in vars(kind):
            yield kind
        yield from _kinds(kind)


def test_an_attempt_of_before_there_were_pools_still_has_its_memory() -> None:
    old = {"step": "a", "attempt": "x-a-1", "number": 1, "command": "true", "snapshot": "s", "uses": [], "env": {}}
    event = ev.read_data("step_submitted", json.dumps({**old, "deadline_seconds": 60, "memory_bytes": 2**30}))

    assert isinstance(event, ev.StepSubmitted)
    assert (event.resources, event.pool) == (Resources(memory=2**30), "")
    assert ev.read_data("step_submitted", json.dumps(event.wire())) == event
