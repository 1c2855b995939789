"""Tokens of a model call and what they cost. Pure."""

import json
from dataclasses import dataclass
from typing import Any

_MICRODOLLARS_PER_TOKEN = 1.0  # dollars per million tokens are microdollars per token


@dataclass(frozen=True)
class Usage:
    """Tokens of one call. `cached` is the part of `prompt` that the provider had in its cache."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens."""

    prompt: float
    completion: float
    cached: float

    def microdollars(self, usage: Usage) -> int:
        """What `usage` costs."""
        fresh = max(0, usage.prompt - usage.cached)
        total = fresh * self.prompt + usage.cached * self.cached + usage.completion * self.completion
        return round(total * _MICRODOLLARS_PER_TOKEN)


FREE = Price(0.0, 0.0, 0.0)


def estimate_tokens(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> int:
    """A count of prompt tokens to reserve for: half of the UTF-8 bytes.

    That is above what tokenizers make of prose and code in any script: English has about four bytes a token, Arabic
    and Chinese two to three.
    """
    text = json.dumps([messages, tools], ensure_ascii=False)
    return len(text.encode(errors="replace")) // 2
