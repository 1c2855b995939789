"""Following a run across broken connections."""

import json
from collections.abc import Iterator

import pytest

from services.cli.follow import Back, Ended, Item, Lost, Observed, Told, follow, read_message
from services.cli.problems import Bewildering, Refused, Unreachable
from services.cli.sse import Message
from services.core.events import Ready

Script = list[Message | Exception]


def event(seq: int, kind: str = "ready") -> Message:
    wire = {"event_type": kind, "data": {"tool_count": 3}, "run": "r1", "seq": seq, "time": 1.0, "turn": 0}
    return Message(kind, json.dumps(wire), str(seq))


END = Message("end", '{"status": "succeeded", "exit_code": 0}')


def followed(*connections: Script, after: int = 0) -> tuple[list[Item], list[int], list[float]]:
    """What came, from which seq each connection was opened, and the pauses between them."""
    opened: list[int] = []
    pauses: list[float] = []
    scripts = iter(connections)

    def open_stream(seq: int) -> Iterator[Message]:
        opened.append(seq)
        for entry in next(scripts):
            if isinstance(entry, Exception):
                raise entry
            yield entry

    return list(follow(open_stream, after, pauses.append)), opened, pauses


def test_events_come_in_order_until_the_end() -> None:
    items, opened, _ = followed([event(1), event(2), END])
    assert [item.seq for item in items if isinstance(item, Told)] == [1, 2]
    assert items[-1] == Ended("succeeded", 0)
    assert opened == [0]


@pytest.mark.parametrize("breaks", [[], [Unreachable("the connection broke")]], ids=["closed", "broken"])
def test_a_broken_stream_is_taken_up_where_it_broke(breaks: Script) -> None:
    items, opened, pauses = followed([event(1), event(2), *breaks], [event(2), event(3), END])
    assert [item.seq for item in items if isinstance(item, Told)] == [1, 2, 3]
    assert opened == [0, 2]
    assert pauses == [0.5]
    assert [type(item) for item in items] == [Told, Told, Lost, Back, Told, Ended]


def test_pauses_grow_and_start_small_again_after_a_success() -> None:
    down: Script = [Unreachable("down")]
    _, _, pauses = followed(down, down, down, [event(1)], down, [END])
    assert pauses == [0.5, 1.0, 2.0, 0.5, 1.0]


def test_it_gives_up_when_nothing_ever_answers() -> None:
    def open_stream(seq: int) -> Iterator[Message]:
        raise Unreachable("nothing listens")

    pauses: list[float] = []
    with pytest.raises(Unreachable, match="nothing listens"):
        list(follow(open_stream, 0, pauses.append))
    assert 600 <= sum(pauses) < 620


def test_a_refusal_is_no_reason_to_come_back() -> None:
    with pytest.raises(Refused):
        followed([Refused("no such run", 404)])


@pytest.mark.parametrize("data", ["", "no json", "[]", '"text"', '{"seq": 1}', '{"event_type": "ready"}'])
def test_rubbish_is_no_event(data: str) -> None:
    with pytest.raises(Bewildering):
        read_message(Message("ready", data, "1"))


def test_an_event_of_a_newer_version_is_kept_as_it_came() -> None:
    told = read_message(event(7, "something_new"))
    assert isinstance(told, Told)
    assert told.data is None
    assert told.wire["event_type"] == "something_new"


def test_a_known_event_is_typed() -> None:
    told = read_message(event(7))
    assert isinstance(told, Told)
    assert told.data == Ready(tool_count=3)


def test_progress_takes_the_newest_of_each_metric() -> None:
    wire = {
        "attempt": "r1-train-2",
        "step": "train",
        "progress": {"fraction": 0.5, "eta_seconds": 9},
        "metrics": [
            {"name": "loss", "value": 0.5, "epoch": 1, "step": None},
            {"name": "loss", "value": 0.25, "epoch": 2, "step": None},
        ],
    }
    seen = read_message(Message("progress", json.dumps(wire)))
    assert seen == Observed("train", "r1-train-2", 0.5, "", 9.0, {"loss": 0.25, "epoch": 2.0})
