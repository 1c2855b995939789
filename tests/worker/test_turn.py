"""What one reply of the model leads to, in one append."""

from typing import Any

import pytest

from services.core import events as ev
from services.core.store import Draft
from services.worker.conversation import NOTE, REPLY, opening, ordered
from services.worker.prices import Usage
from services.worker.reply import RawCall, Reply
from services.worker.tools import TOOLS
from services.worker.turn import reply_draft
from tests.worker.states import state_of

READ = RawCall("x", "read", '{"path": "a"}')


def drafted(*calls: RawCall, text: str = "", finish_reason: str = "tool_calls", turn: int = 4) -> Draft:
    reply = Reply(text, calls, finish_reason, Usage(100, 20, 60), latency_ms=1_500, first_token_ms=200)
    return reply_draft(state_of(turn=turn), "r-c4", reply, 4_500, TOOLS)


def of(draft: Draft, kind: type[ev.EventData]) -> list[Any]:
    return [event for event in draft.events if isinstance(event, kind)]


def test_the_cost_and_the_tokens_are_on_record() -> None:
    [call] = of(drafted(text="Hello.", finish_reason="stop"), ev.LlmCall)

    assert (call.call, call.cost_usd, call.finish_reason) == ("r-c4", 0.0045, "stop")
    assert (call.prompt_tokens, call.completion_tokens, call.total_tokens, call.cache_read_tokens) == (100, 20, 120, 60)
    assert (call.latency_ms, call.first_token_ms) == (1_500, 200)


def test_text_alone_is_one_message() -> None:
    draft = drafted(text="What now?", finish_reason="stop")

    assert [type(event) for event in draft.events] == [ev.LlmCall, ev.AssistantStreamEnd]
    assert [(entry.turn, entry.index) for entry in draft.talk] == [(4, REPLY)]


def test_every_call_is_an_intent_before_anything_of_it_happens() -> None:
    draft = drafted(READ, RawCall("y", "bash", '{"command": "ls"}'))

    assert [(call.tool, call.arguments) for call in of(draft, ev.ToolCall)] == [
        ("read", {"path": "a"}),
        ("bash", {"command": "ls"}),
    ]
    assert of(draft, ev.ToolOutput) == []


def test_ids_are_ours_whatever_the_provider_sent() -> None:
    draft = drafted(*(RawCall(id, "read", "{}") for id in ("", "same", "same", "../../etc", "call_4_0")))

    ids = [call.tool_call_id for call in of(draft, ev.ToolCall)]
    assert ids == ["call_4_0", "call_4_1", "call_4_2", "call_4_3", "call_4_4"]
    assert [call["id"] for call in draft.talk[0].message["tool_calls"]] == ids


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("read", "read"),
        ("functions.read", "functions_read"),
        ("my tool", "my_tool"),
        ("", "_"),
        ("قراءة", "_____"),
        ("x" * 300, "x" * 64),
    ],
)
def test_a_name_in_the_history_is_one_that_providers_accept(name: str, kept: str) -> None:
    draft = drafted(RawCall("x", name, "{}"))

    [call] = draft.talk[0].message["tool_calls"]
    assert call["function"]["name"] == kept
    assert [call.tool for call in of(draft, ev.ToolCall)] == [kept]


def test_an_unknown_tool_is_answered_with_the_tools_there_are() -> None:
    draft = drafted(RawCall("x", "python", "{}"))

    [answer] = of(draft, ev.ToolOutput)
    assert not answer.success
    assert answer.output.startswith("error: there is no tool 'python'; the tools are: read, write, edit, bash")


@pytest.mark.parametrize("arguments", ['{"path": "a', "[1]", "null", "7", '"a"', '{"a": NaN}', "path=a"])
def test_arguments_that_are_no_object_are_answered_and_survived(arguments: str) -> None:
    draft = drafted(RawCall("x", "read", arguments))

    [answer] = of(draft, ev.ToolOutput)
    assert answer.output == f"error: the arguments are no JSON object, so nothing was done; they begin: {arguments}"
    assert [call.arguments for call in of(draft, ev.ToolCall)] == [{}]


@pytest.mark.parametrize("arguments", ["", "{}", "  "])
def test_no_arguments_at_all_are_for_the_tool_to_judge(arguments: str) -> None:
    assert of(drafted(RawCall("x", "plan", arguments)), ev.ToolOutput) == []


def test_huge_rubbish_is_not_repeated_whole() -> None:
    draft = drafted(RawCall("x", "read", "x" * 10**6))

    assert len(of(draft, ev.ToolOutput)[0].output) < 400


def test_bad_calls_are_answered_in_their_place_among_good_ones() -> None:
    draft = drafted(READ, RawCall("y", "nothing", "{}"), READ, RawCall("z", "read", "["))

    assert [answer.tool_call_id for answer in of(draft, ev.ToolOutput)] == ["call_4_1", "call_4_3"]
    assert [(entry.turn, entry.index) for entry in draft.talk] == [(4, REPLY), (4, 1), (4, 3)]


def test_a_reply_cut_for_its_length_has_no_calls() -> None:
    draft = drafted(
        READ, RawCall("y", "write", '{"path": "a", "content": "half'), text="I will", finish_reason="length"
    )

    assert of(draft, ev.ToolCall) == of(draft, ev.ToolOutput) == []
    reply, note = draft.talk
    assert reply.message == {"role": "assistant", "content": "I will"}
    assert note.index == NOTE
    assert "its tool calls were not carried out" in note.message["content"]


def test_text_cut_for_its_length_is_asked_to_go_on() -> None:
    draft = drafted(text="And so", finish_reason="length")

    assert draft.talk[1].message["content"].endswith("Go on with a shorter one.")


def test_the_history_after_any_reply_has_no_call_without_a_place_for_its_answer() -> None:
    draft = drafted(READ, RawCall("y", "nothing", "{}"))
    history = [*opening("", state_of(), []), *(entry.message for entry in ordered(draft.talk))]

    assert [message["role"] for message in history] == ["system", "user", "assistant", "tool"]
