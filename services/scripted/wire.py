"""A reply in the shapes of the chat-completions API: one JSON body, or server-sent chunks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.scripted.replay import Reply, ReplyCall
from services.scripted.usage import Usage

FINGERPRINT = "scripted playbook, not a language model"
LEAST_DELTA_CHARACTERS = 8
MOST_DELTAS = 16
"""Into how many deltas a text, or one call's arguments, is cut at most."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every answer carries beside the reply. `created` is in seconds since 1970."""

    id: str
    model: str
    created: int

    def around(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
            **more,
        }


def error_json(message: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def models_json(names: list[str]) -> dict[str, Any]:
    models = [{"id": name, "object": "model", "created": 0, "owned_by": FINGERPRINT} for name in names]
    return {"object": "list", "data": models}


def completion_json(reply: Reply, usage: Usage, envelope: Envelope) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.calls:
        message["tool_calls"] = [_call_json(call) for call in reply.calls]
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason, "logprobs": None}
    return envelope.around("chat.completion", [choice], usage=usage.as_json())


def stream_events(reply: Reply, usage: Usage, envelope: Envelope, *, include_usage: bool) -> list[bytes]:
    """The stream's server-sent events, one chunk each, the last being `[DONE]`."""
    extra = {"usage": None} if include_usage else {}
    events = [
        _event(envelope.around("chat.completion.chunk", [_choice(delta, reason)], **extra))
        for delta, reason in _deltas(reply)
    ]
    if include_usage:
        events.append(_event(envelope.around("chat.completion.chunk", [], usage=usage.as_json())))
    return [*events, b"data: [DONE]\n\n"]


def _deltas(reply: Reply) -> Iterator[tuple[dict[str, Any], str | None]]:
    yield {"role": "assistant", "content": "" if reply.text else None}, None
    for piece in _pieces(reply.text):
        yield {"content": piece}, None
    for index, call in enumerate(reply.calls):
        yield (
            {"tool_calls": [{"index": index, **_call_json(call), "function": {"name": call.tool, "arguments": ""}}]},
            None,
        )
        for piece in _pieces(call.arguments):
            yield ({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None)
    yield {}, reply.finish_reason


def _pieces(text: str) -> list[str]:
    size = max(LEAST_DELTA_CHARACTERS, -(-len(text) // MOST_DELTAS))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _call_json(call: ReplyCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": call.arguments}}


def _choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
