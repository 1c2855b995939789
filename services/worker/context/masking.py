"""Old messages in short: one line and a pointer instead of an answer, a note instead of a long argument. Pure.

A pointer is a path for the `read` tool: `talk:<turn>:<index>` is the message that the history has at that place.
"""

import json
from collections.abc import Mapping
from typing import Any

from services.core.store import Talk
from services.worker.model import Message

POINTER = "talk:"
# What is hardly longer than its mask stays as it is.
_WHOLE_CHARS = 300
_LINE_CHARS = 120


def pointer_of(entry: Talk) -> str:
    """The path under which `read` shows the whole message."""
    return f"{POINTER}{entry.turn}:{entry.index}"


def place_of(path: str) -> tuple[int, int] | None:
    """The turn and the index that a pointer names; None for what is no pointer."""
    parts = path.removeprefix(POINTER).split(":")
    if not path.startswith(POINTER) or len(parts) != 2 or not all(part.lstrip("-").isdigit() for part in parts):
        return None
    return int(parts[0]), int(parts[1])


def masked(entry: Talk, tools: Mapping[str, str]) -> Message:
    """The message of an old entry. `tools` has the names of the tools by call id. What people said stays."""
    message = entry.message
    match message["role"]:
        case "tool":
            return {**message, "content": _masked_answer(entry, tools.get(message["tool_call_id"], "a tool"))}
        case "assistant" if message.get("tool_calls"):
            return {**message, "tool_calls": [_masked_call(call) for call in message["tool_calls"]]}
        case _:
            return message


def shortened(entry: Talk, message: Message, most: int) -> Message:
    """`message` with a content of `most` characters and a note, where it is longer: its head and its tail."""
    text = message.get("content")
    if not isinstance(text, str) or len(text) <= most:
        return message
    head, tail = most // 3, most - most // 3
    note = f"[… {len(text) - most} characters left out; read(path={pointer_of(entry)!r}) shows all …]"
    return {**message, "content": f"{text[:head]}\n{note}\n{text[-tail:] if tail else ''}"}


def first_line(text: str, most: int = _LINE_CHARS) -> str:
    """The first line that says something, cut to `most` characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _masked_answer(entry: Talk, tool: str) -> str:
    text = str(entry.message["content"])
    if len(text) <= _WHOLE_CHARS:
        return text
    return f"[{tool} answered {len(text)} characters; read(path={pointer_of(entry)!r}) shows them] {first_line(text)}"


def _masked_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    if len(function["arguments"]) <= _WHOLE_CHARS:
        return dict(call)
    arguments = {name: _masked_argument(value) for name, value in json.loads(function["arguments"]).items()}
    return {**call, "function": {**function, "arguments": json.dumps(arguments, ensure_ascii=False)}}


def _masked_argument(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _WHOLE_CHARS:
        return value
    return f"[… {len(text)} characters] {first_line(text)}"
