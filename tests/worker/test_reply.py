"""Putting a streamed reply together, whatever the pieces look like."""

from types import SimpleNamespace
from typing import Any

import pytest

from services.worker.failures import Failure, ModelFailed
from services.worker.prices import Usage
from services.worker.reply import Parts, RawCall, Reply, encodable


def chunk(text: str | None = None, *calls: Any, finish: str | None = None, usage: Any = None) -> Any:
    """A piece of a reply as litellm gives it."""
    delta = SimpleNamespace(content=text, tool_calls=list(calls) or None)
    return SimpleNamespace(choices=[SimpleNamespace(delta=delta, finish_reason=finish)], usage=usage)


def piece(index: int | None, arguments: str | None, name: str | None = None, id: str | None = None) -> Any:
    """A piece of a tool call."""
    return SimpleNamespace(index=index, id=id, function=SimpleNamespace(name=name, arguments=arguments))


def used(prompt: int | None, completion: int | None, cached: int | None = None) -> Any:
    details = SimpleNamespace(cached_tokens=cached)
    return SimpleNamespace(prompt_tokens=prompt, completion_tokens=completion, prompt_tokens_details=details)


def put_together(*chunks: Any) -> Reply:
    parts = Parts()
    for one in chunks:
        parts.add(one)
    return parts.reply(0.0, None)


def test_text_is_its_pieces_in_order() -> None:
    reply = put_together(chunk("Let me "), chunk(None), chunk("see."), chunk(finish="stop"))

    assert (reply.text, reply.calls, reply.finish_reason) == ("Let me see.", (), "stop")


def test_a_call_is_its_pieces_by_index() -> None:
    reply = put_together(
        chunk(None, piece(0, "", "bash", "a"), piece(1, "", "read", "b")),
        chunk(None, piece(1, '{"path":')),
        chunk(None, piece(0, '{"command": "ls"}')),
        chunk(None, piece(1, ' "x"}')),
        chunk(finish="tool_calls"),
    )

    assert reply.calls == (RawCall("a", "bash", '{"command": "ls"}'), RawCall("b", "read", '{"path": "x"}'))


def test_calls_that_share_an_index_are_told_apart_by_id_and_name() -> None:
    reply = put_together(
        chunk(None, piece(0, '{"path": "a"}', "read", "x")),
        chunk(None, piece(0, '{"path": ', "read", "y")),
        chunk(None, piece(0, '"b"}')),
        chunk(finish="tool_calls"),
    )

    assert [call.arguments for call in reply.calls] == ['{"path": "a"}', '{"path": "b"}']


def test_a_call_whose_id_and_name_are_repeated_stays_one() -> None:
    reply = put_together(
        chunk(None, piece(None, '{"path"', "read", "x")),
        chunk(None, piece(None, ': "a"}', "read", "x")),
        chunk(None, piece(0, None, None, "made-up-anew")),
        chunk(finish="tool_calls"),
    )

    assert reply.calls == (RawCall("x", "read", '{"path": "a"}'),)


@pytest.mark.parametrize(
    ("given", "usage"),
    [
        (used(100, 20), Usage(100, 20, 0)),
        (used(100, 20, 60), Usage(100, 20, 60)),
        (used(None, None), Usage(0, 0, 0)),
        (SimpleNamespace(prompt_tokens=5, completion_tokens=6), Usage(5, 6, 0)),
    ],
)
def test_usage_comes_with_the_last_piece(given: Any, usage: Usage) -> None:
    last = SimpleNamespace(choices=[], usage=given)

    assert put_together(chunk("Hi."), chunk(finish="stop"), last).usage == usage


@pytest.mark.parametrize(
    ("chunks", "kind"),
    [
        ((), Failure.CONNECTION),
        ((chunk("Let me"),), Failure.CONNECTION),
        ((chunk(finish="stop"),), Failure.RUBBISH),
        ((chunk(""), chunk(finish="tool_calls")), Failure.RUBBISH),
    ],
)
def test_a_reply_without_end_or_content_is_none(chunks: tuple[Any, ...], kind: Failure) -> None:
    with pytest.raises(ModelFailed) as failed:
        put_together(*chunks)

    assert failed.value.kind is kind


def test_an_empty_reply_tells_what_it_used() -> None:
    with pytest.raises(ModelFailed) as failed:
        put_together(chunk(finish="stop", usage=used(100, 7)))

    assert failed.value.usage == Usage(100, 7)


def test_a_reply_cut_before_its_first_word_is_a_reply() -> None:
    assert put_together(chunk(finish="length")).finish_reason == "length"


@pytest.mark.parametrize(
    "rubbish",
    [
        SimpleNamespace(),
        SimpleNamespace(choices=[SimpleNamespace(delta=None, finish_reason=None)]),
        chunk(None, SimpleNamespace(index=0, id="x", function=None)),
        chunk(None, piece(0, 7)),  # type: ignore[arg-type]
        SimpleNamespace(choices=7),
    ],
)
def test_a_piece_that_is_none_is_rubbish(rubbish: Any) -> None:
    with pytest.raises(ModelFailed) as failed:
        Parts().add(rubbish)

    assert failed.value.kind is Failure.RUBBISH


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\ud83d\ude42", "🙂"),
        ("half \ud83d", "half \ufffd"),
        ("🙂 مرحبا", "🙂 مرحبا"),
        ("\0", "\0"),
    ],
)
def test_text_that_utf8_cannot_carry_is_mended(text: str, expected: str) -> None:
    assert encodable(text) == expected


def test_a_character_cut_between_two_pieces_is_whole_in_the_reply() -> None:
    reply = put_together(
        chunk("\ud83d", piece(0, '{"content": "\ud83d', "write", "x")),
        chunk("\ude42", piece(0, '\ude42"}')),
        chunk(finish="tool_calls"),
    )

    assert reply.text == "🙂"
    assert reply.calls[0].arguments == '{"content": "🙂"}'
