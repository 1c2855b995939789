"""Server-sent events, however the network cuts them."""

import json

import pytest
from hypothesis import given, strategies as st

from services.cli import sse
from services.cli.problems import Bewildering
from services.cli.sse import Message, messages


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"id: 3\nevent: ready\ndata: {}\n\n", [Message("ready", "{}", "3")]),
        (b"data: a\ndata: b\n\n", [Message("message", "a\nb")]),
        (b"data:no space\r\n\r\n", [Message("message", "no space")]),
        (b": keep-alive\n\nid: 1\ndata: x\n\n", [Message("message", "x", "1")]),
        (b'event: end\ndata: {"a": 1}\n\n', [Message("end", '{"a": 1}')]),
        (b"id: 9\nevent: cut off\ndata: never ended\n", []),
        ("data: \u2028 stays\n\n".encode(), [Message("message", "\u2028 stays")]),
    ],
)
def test_a_stream_is_read(stream: bytes, expected: list[Message]) -> None:
    assert list(messages([stream])) == expected


@given(st.lists(st.text()), st.integers(1, 7))
def test_where_the_network_cuts_changes_nothing(texts: list[str], size: int) -> None:
    stream = b"".join(
        f"id: {number}\nevent: log\ndata: {json.dumps(text, ensure_ascii=False)}\n\n".encode(errors="replace")
        for number, text in enumerate(texts)
    )
    whole = list(messages([stream]))
    assert len(whole) == len(texts)
    assert list(messages(stream[start : start + size] for start in range(0, len(stream), size))) == whole


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LONGEST_LINE", 100)
    with pytest.raises(Bewildering, match="a line of more than"):
        list(messages(b"x" * 10 for _ in range(20)))
