"""The scripted model through litellm, as the worker speaks to any provider."""

import json
import os
from itertools import count
from typing import Any

import pytest

from tests.scripted.server import ScriptedServer

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("bash", "read")
]
_goals = (f"goal {number}" for number in count())


def ask(server: ScriptedServer, playbook: str, goal: str, **more: Any) -> Any:
    return litellm.completion(
        model=f"openai/scripted/{playbook}",
        api_base=server.url,
        api_key="none",
        messages=[{"role": "user", "content": goal}],
        tools=TOOLS,
        max_retries=0,
        num_retries=0,
        **{"timeout": 5, **more},
    )


def streamed(server: ScriptedServer, playbook: str, goal: str, **more: Any) -> Any:
    """The reply put together from its stream."""
    chunks = list(ask(server, playbook, goal, stream=True, stream_options={"include_usage": True}, **more))
    return litellm.stream_chunk_builder(chunks)


@pytest.fixture
def goal() -> str:
    """A goal that no other test has, because faults are counted by it."""
    return next(_goals)


@pytest.mark.parametrize("via", [ask, streamed])
def test_text_parallel_calls_and_usage_come_through(server: ScriptedServer, goal: str, via: Any) -> None:
    reply = via(server, "parallel", goal)

    choice = reply.choices[0]
    calls = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content.startswith("Two commands")
    assert [(call.id, call.function.name) for call in calls] == [("call_0001_1", "bash"), ("call_0001_2", "read")]
    assert json.loads(calls[1].function.arguments) == {"path": "right.txt", "offset": 3}
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    assert reply.usage.prompt_tokens_details.cached_tokens == 0


@pytest.mark.parametrize("via", [ask, streamed])
@pytest.mark.parametrize(
    ("playbook", "error"),
    [
        ("fault-status-429", litellm.exceptions.RateLimitError),
        ("fault-status-503", litellm.exceptions.ServiceUnavailableError),
        ("fault-too-long", litellm.exceptions.ContextWindowExceededError),
        ("fault-hang", litellm.exceptions.Timeout),
        ("fault-slow", litellm.exceptions.Timeout),
    ],
)
def test_a_fault_before_the_reply_is_an_error_of_its_kind(
    server: ScriptedServer, goal: str, via: Any, playbook: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        via(server, playbook, goal, timeout=0.4)


@pytest.mark.parametrize(
    ("via", "playbook", "error"),
    [
        (ask, "fault-stall", litellm.exceptions.Timeout),
        (ask, "fault-close", litellm.exceptions.InternalServerError),
        (ask, "fault-rubbish", litellm.exceptions.InternalServerError),
        (streamed, "fault-stall", litellm.exceptions.MidStreamFallbackError),
        (streamed, "fault-close", litellm.exceptions.MidStreamFallbackError),
    ],
)
def test_a_fault_in_the_reply_is_an_error_too(
    server: ScriptedServer, goal: str, via: Any, playbook: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        via(server, playbook, goal, timeout=0.4)


def test_rubbish_in_place_of_a_stream_is_an_empty_reply_to_litellm(server: ScriptedServer, goal: str) -> None:
    reply = streamed(server, "fault-rubbish", goal)

    assert not reply.choices[0].message.content
    assert not reply.choices[0].message.tool_calls
    assert reply.usage.prompt_tokens == 0


def test_retry_after_reaches_the_caller_and_the_fault_passes(server: ScriptedServer, goal: str) -> None:
    for _ in range(2):
        with pytest.raises(litellm.exceptions.RateLimitError) as refused:
            ask(server, "fault-status-429", goal)
        assert vars(refused.value)["litellm_response_headers"]["retry-after"] == "1.5"

    assert ask(server, "fault-status-429", goal).choices[0].message.tool_calls


@pytest.mark.parametrize("via", [ask, streamed])
@pytest.mark.parametrize(
    ("playbook", "arguments"),
    [("fault-bad-arguments", '{"command": "echo unfinished'), ("fault-list-arguments", "[1, 2]")],
)
def test_bad_arguments_come_through_as_they_are_once(
    server: ScriptedServer, goal: str, via: Any, playbook: str, arguments: str
) -> None:
    first, second = via(server, playbook, goal), via(server, playbook, goal)

    assert first.choices[0].message.tool_calls[0].function.arguments == arguments
    assert "command" in json.loads(second.choices[0].message.tool_calls[0].function.arguments)


@pytest.mark.parametrize("via", [ask, streamed])
def test_a_reply_cut_for_length_says_so(server: ScriptedServer, goal: str, via: Any) -> None:
    choice = via(server, "fault-length", goal).choices[0]

    assert choice.finish_reason == "length"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(choice.message.tool_calls[0].function.arguments)


@pytest.mark.parametrize("via", [ask, streamed])
def test_an_empty_reply_is_empty(server: ScriptedServer, goal: str, via: Any) -> None:
    message = via(server, "fault-empty", goal).choices[0].message

    assert not message.content
    assert not message.tool_calls
