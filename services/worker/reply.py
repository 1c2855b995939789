"""What a model answers: the pieces of a streamed reply put together."""

import time
from dataclasses import dataclass, field
from typing import Any

from services.worker.failures import Failure, ModelFailed
from services.worker.prices import Usage


@dataclass(frozen=True)
class RawCall:
    """A tool call as the model wrote it; `arguments` should be a JSON object and may be anything."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """A complete answer of the model."""

    text: str
    calls: tuple[RawCall, ...]
    finish_reason: str
    usage: Usage
    latency_ms: int
    first_token_ms: int


@dataclass
class Parts:
    """What of a streamed reply has come so far. `places`: the provider's index of a call → where it is in `calls`."""

    text: list[str] = field(default_factory=list)
    calls: list[dict[str, str]] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)

    def add(self, chunk: Any) -> str:
        """Take in one chunk; the new text in it. Raises `ModelFailed` for what is no chunk."""
        try:
            return self._add(chunk)
        except (AttributeError, IndexError, TypeError) as error:
            detail = f"a piece of the reply is not as the API has it: {error}"
            raise ModelFailed(Failure.RUBBISH, detail, usage=self.usage) from error

    def _add(self, chunk: Any) -> str:
        if getattr(chunk, "usage", None):
            self.usage = _usage(chunk.usage)
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.finish_reason = choice.finish_reason or self.finish_reason
        for part in choice.delta.tool_calls or ():
            call = self._call_of(part)
            call["id"] = call["id"] or part.id or ""
            call["name"] = call["name"] or part.function.name or ""
            call["arguments"] += part.function.arguments or ""
        text: str = choice.delta.content or ""
        self.text.append(text)
        return text

    def _call_of(self, part: Any) -> dict[str, str]:
        """The call that a delta belongs to, by its index; some servers give every call of a reply the index 0."""
        index = part.index or 0
        known = self.calls[self.places[index]] if index in self.places else None
        is_another = known and part.function.name and part.id and part.id != known["id"]
        if known is None or is_another:
            self.places[index] = len(self.calls)
            self.calls.append({"id": "", "name": "", "arguments": ""})
        return self.calls[self.places[index]]

    def reply(self, started: float, first: float | None) -> Reply:
        """The whole reply; times are of the monotonic clock. Raises `ModelFailed` where it has no end or no content."""
        if not self.finish_reason:
            raise ModelFailed(Failure.CONNECTION, "the reply was cut off before its end", usage=self.usage)
        text = encodable("".join(self.text))
        if not text and not self.calls and self.finish_reason != "length":
            # What litellm makes of a body that is no reply at all, too.
            raise ModelFailed(Failure.RUBBISH, "the reply is empty", usage=self.usage)
        now = time.monotonic()
        return Reply(
            text=text,
            calls=tuple(map(_raw_call, self.calls)),
            finish_reason=self.finish_reason,
            usage=self.usage,
            latency_ms=round((now - started) * 1000),
            first_token_ms=round(((first or now) - started) * 1000),
        )


def encodable(text: str) -> str:
    """`text` with surrogate pairs put together and lone surrogates replaced, so that UTF-8 can carry it.

    Providers send them as JSON escapes, where a character is cut between two pieces.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _raw_call(parts: dict[str, str]) -> RawCall:
    return RawCall(**{name: encodable(value) for name, value in parts.items()})


def _usage(usage: Any) -> Usage:
    details = getattr(usage, "prompt_tokens_details", None)
    cached = getattr(details, "cached_tokens", None) or 0
    written = getattr(details, "cache_creation_tokens", None) or 0
    return Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0, cached, written)
