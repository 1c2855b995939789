"""Reading a request's `messages` into what a playbook looks at.

As strict as the real API about the order of messages: a call left without its answer, or an answer
without its call, is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Message: TypeAlias = Mapping[str, Any]
"""A message in the provider's own format."""


class ConversationInvalid(Exception):
    """The messages are not a conversation as the chat-completions API defines it."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool answered."""

    tool: str
    text: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What came in between two replies."""

    outputs: tuple[Output, ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier reply, as the names of the tools it called, and what came in after it."""

    tools: tuple[str, ...]
    heard: Heard


@dataclass(frozen=True, slots=True)
class Conversation:
    opening: Heard
    turns: tuple[Turn, ...]


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """Raises ConversationInvalid."""
    replies = [index for index, message in enumerate(messages) if message.get("role") == "assistant"]
    first = replies[0] if replies else len(messages)
    ends = [*replies[1:], len(messages)]
    turns = tuple(
        _read_turn(messages[start], messages[start + 1 : end], start) for start, end in zip(replies, ends, strict=False)
    )
    return Conversation(_hear(messages[:first], {}, 0), turns)


def text_of(content: Any) -> str:
    """The text of a message's content, be it a string, a list of parts or null."""
    match content:
        case str():
            return content
        case list():
            return "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
        case _:
            return ""


def opening_text(messages: Sequence[Message]) -> str:
    """The first user message, by which a conversation is told from another."""
    return next((text_of(message.get("content")) for message in messages if message.get("role") == "user"), "")


def _read_turn(reply: Message, after: Sequence[Message], index: int) -> Turn:
    tools = {}
    for call in reply.get("tool_calls") or ():
        try:
            tools[call["id"]] = call["function"]["name"]
        except (KeyError, TypeError) as error:
            raise ConversationInvalid(f"messages[{index}]: a tool call needs an id and a function name") from error
    heard = _hear(after, tools, index + 1)
    answered = {message.get("tool_call_id") for message in after if message.get("role") == "tool"}
    missing = [call for call in tools if call not in answered]
    if missing:
        raise ConversationInvalid(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. messages[{index}] has no answer to: {', '.join(missing)}"
        )
    return Turn(tuple(tools.values()), heard)


def _hear(messages: Sequence[Message], tools: Mapping[str, str], offset: int) -> Heard:
    outputs, users = [], []
    for index, message in enumerate(messages, offset):
        match message.get("role"):
            case "tool":
                call = str(message.get("tool_call_id"))
                if call not in tools:
                    raise ConversationInvalid(
                        f"messages[{index}]: role 'tool' must answer a call of the assistant message before it; "
                        f"{call!r} isn't one"
                    )
                outputs.append(Output(tools[call], text_of(message.get("content"))))
            case "user":
                users.append(text_of(message.get("content")))
            case "system" | "developer":
                pass
            case role:
                raise ConversationInvalid(f"messages[{index}]: there is no role {role!r}")
    return Heard(tuple(outputs), tuple(users))
