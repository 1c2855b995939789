"""Tokens of a model call and what they cost. Pure."""

import json
from dataclasses import dataclass
from typing import Any

_MICRODOLLARS_PER_TOKEN = 1.0  # dollars per million tokens are microdollars per token


@dataclass(frozen=True)
class Usage:
    """Tokens of one call. Of `prompt`, the provider had `cached` in its cache and has put `written` there."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    written: int = 0


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens. `written` of those that are put into the cache; None: as any of the prompt."""

    prompt: float
    completion: float
    cached: float
    written: float | None = None

    def microdollars(self, usage: Usage) -> int:
        """What `usage` costs."""
        fresh = max(0, usage.prompt - usage.cached - usage.written)
        written = self.prompt if self.written is None else self.written
        cache = usage.cached * self.cached + usage.written * written
        total = fresh * self.prompt + cache + usage.completion * self.completion
        return round(total * _MICRODOLLARS_PER_TOKEN)

    def most_microdollars(self, prompt: int, completion: int) -> int:
        """The most that a call of so many tokens can cost, whatever of it comes from the cache or goes there."""
        return max(self.microdollars(Usage(prompt, completion, written=written)) for written in (0, prompt))


FREE = Price(0.0, 0.0, 0.0)


def estimate_tokens(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> int:
    """A count of prompt tokens to reserve for: half of the UTF-8 bytes.

    That is above what tokenizers make of prose and code in any script: English has about four bytes a token, Arabic
    and Chinese two to three.
    """
    text = json.dumps([messages, tools], ensure_ascii=False)
    return len(text.encode(errors="replace")) // 2
