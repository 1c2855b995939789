"""An estimate of the tokens of a request and its reply: characters / 4, rounded up.

There is no tokenizer and no cache here. The figures are the same for the same conversation and grow
as real ones do, so that budgets and compaction can be exercised; they are no measurement.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.scripted.conversation import Message, text_of
from services.scripted.replay import Reply

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    """Of the prompt: what the request before this one also held, that is tools and messages up to the last reply."""

    def as_json(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


def estimate(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], reply: Reply) -> Usage:
    sizes = [_characters(message) for message in messages]
    declared = len(json.dumps(tools)) if tools else 0
    last = max((index for index, message in enumerate(messages) if message.get("role") == "assistant"), default=None)
    return Usage(
        prompt_tokens=_tokens((declared, *sizes)),
        completion_tokens=_tokens((len(reply.text), *(len(call.tool) + len(call.arguments) for call in reply.calls))),
        cached_tokens=0 if last is None else _tokens((declared, *sizes[:last])),
    )


def _characters(message: Message) -> int:
    calls = message.get("tool_calls") or ()
    return len(text_of(message.get("content"))) + sum(
        len(call["function"]["name"]) + len(call["function"].get("arguments") or "") for call in calls
    )


def _tokens(sizes: Iterable[int]) -> int:
    return -(-sum(sizes) // CHARACTERS_PER_TOKEN)
