"""The one door to litellm: a streamed chat completion with four time limits, and its failures as ours.

No retries happen in here: whether and when a call is made again is the engine's decision, on record. What a failure is
follows from its type and status code, never from its text.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from services.core.rules import Effort
from services.worker.failures import Failure, ModelFailed, causes_of, failure_of_status, retry_after
from services.worker.prices import FREE, Price
from services.worker.reply import Parts, Reply, encodable

Message = dict[str, Any]

# Local servers by prefix, as users of ml-intern know them: prefix → the server's usual address.
LOCAL_SERVERS = {
    "ollama": "http://127.0.0.1:11434/v1",
    "vllm": "http://127.0.0.1:8000/v1",
    "lm_studio": "http://127.0.0.1:1234/v1",
    "llamacpp": "http://127.0.0.1:8080/v1",
    "scripted": "",
}


_UNKNOWN_WINDOW = 128_000


@dataclass(frozen=True)
class Limits:
    """Seconds: to connect, to the first byte, between two pieces, in all. And the most completion tokens."""

    first_byte: float = 60.0
    idle: float = 120.0
    total: float = 600.0
    connect: float = 10.0
    max_tokens: int = 8192


class Model(Protocol):
    """Something that answers a conversation."""

    def ask(
        self,
        model: str,
        messages: list[Message],
        tools: list[dict[str, Any]],
        on_text: Callable[[str], None],
        stop: Callable[[], bool],
        effort: Effort = "",
    ) -> Reply: ...

    def price(self, model: str) -> Price | None: ...

    def window(self, model: str) -> int: ...


class LitellmModel:
    """Any provider litellm has, and any server that speaks OpenAI's chat API.

    `base_url` and `api_key` apply to local prefixes and to `openai/`; other providers take theirs from their own
    environment variables, which litellm reads.
    """

    def __init__(
        self,
        limits: Limits,
        base_url: str = "",
        api_key: str = "",
        price: Price | None = None,
        window: int | None = None,
    ) -> None:
        # A slow import (2 s, 170 MB) behind its door: only a worker that takes turns pays for it.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # noqa: TID251 - litellm is told nowhere else
        import litellm

        litellm.suppress_debug_info = True
        litellm.disable_hf_tokenizer_download = True
        litellm.drop_params = True
        # For its callbacks litellm starts an event loop for each piece of a stream. We have none.
        litellm.disable_streaming_logging = True
        self._litellm = litellm
        self._limits = limits
        self._base_url = base_url
        self._api_key = api_key
        self._price = price
        self._window = window

    def price(self, model: str) -> Price | None:
        """The model's price: the configured one, zero for local servers, litellm's table, or None if nobody knows."""
        if self._price is not None:
            return self._price
        if model.split("/", 1)[0] in LOCAL_SERVERS:
            return FREE
        info = self._litellm.model_cost.get(model) or self._litellm.model_cost.get(model.partition("/")[2])
        if not info or "input_cost_per_token" not in info:
            return None
        prompt, completion = (info["input_cost_per_token"], info.get("output_cost_per_token") or 0.0)
        cached = info.get("cache_read_input_token_cost") or prompt
        return Price(prompt * 1e6, completion * 1e6, cached * 1e6)

    def window(self, model: str) -> int:
        """The most tokens that prompt and reply may have together: as configured, by litellm's table, or a guess that
        holds for most models of today."""
        if self._window is not None:
            return self._window
        info = self._litellm.model_cost.get(model) or self._litellm.model_cost.get(model.partition("/")[2]) or {}
        return int(info.get("max_input_tokens") or info.get("max_tokens") or _UNKNOWN_WINDOW)

    def ask(
        self,
        model: str,
        messages: list[Message],
        tools: list[dict[str, Any]],
        on_text: Callable[[str], None],
        stop: Callable[[], bool],
        effort: Effort = "",
    ) -> Reply:
        """Stream one reply. `on_text` gets each piece of text; `stop` is asked often and ends the call when True.
        `effort` is what the model is told to think; '' tells it nothing.

        Raises `ModelFailed`.
        """
        started = time.monotonic()
        parts, first = Parts(), None
        for chunk in self._stream(self._request(model, messages, tools, effort), started, stop):
            first = first or time.monotonic()
            text = parts.add(chunk)
            if text:
                on_text(text)
        return parts.reply(started, first)

    def _request(
        self, model: str, messages: list[Message], tools: list[dict[str, Any]], effort: Effort
    ) -> dict[str, Any]:
        read = max(self._limits.first_byte, self._limits.idle)
        request: dict[str, Any] = {
            "messages": messages,
            "tools": tools,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": reply_tokens(self.window(model), self._limits.max_tokens),
            "timeout": httpx.Timeout(self._limits.total, connect=self._limits.connect, read=read),
            "max_retries": 0,
            "num_retries": 0,
        }
        if effort:
            # litellm drops what it doesn't know of a model, and it knows few; what the provider refuses is healed.
            request |= {"reasoning_effort": effort, "allowed_openai_params": ["reasoning_effort"]}
        return {**request, **route(model, self._base_url, self._api_key)}

    def _stream(self, request: dict[str, Any], started: float, stop: Callable[[], bool]) -> Iterator[Any]:
        """The chunks of a reply, read on a thread of their own so that a silent server cannot hold the run."""
        chunks: queue.Queue[Any] = queue.Queue()
        abandoned = threading.Event()
        reader = threading.Thread(target=self._read, args=(request, chunks, abandoned), name="model", daemon=True)
        reader.start()
        heard = False
        last = started
        try:
            while True:
                limit = self._limits.idle if heard else self._limits.first_byte
                chunk = _next(chunks, last + limit, started + self._limits.total, stop)
                if chunk is None:
                    return
                if isinstance(chunk, ModelFailed):
                    raise chunk
                heard, last = True, time.monotonic()
                yield chunk
        finally:
            abandoned.set()

    def _read(self, request: dict[str, Any], chunks: "queue.Queue[Any]", abandoned: threading.Event) -> None:
        try:
            stream = self._litellm.completion(**request)
            for chunk in stream:
                if abandoned.is_set():
                    return
                chunks.put(chunk)
                if _has_ended(chunk) and (counted := _counted(stream)):
                    chunks.put(counted)
                    break
            chunks.put(None)
        except Exception as error:  # noqa: BLE001 - the thread's edge: litellm raises anything; it is classed and passed on
            chunks.put(self._failure(error))

    def _failure(self, error: Exception) -> ModelFailed:
        kinds = self._litellm.exceptions
        # litellm gives one and the same error to a server that is away and to one that broke off: the causes tell.
        rows: list[tuple[Failure, tuple[type[BaseException], ...]]] = [
            (Failure.CONTEXT, (kinds.ContextWindowExceededError,)),
            (Failure.UNREACHABLE, (httpx.ConnectError, httpx.ConnectTimeout)),
            (Failure.RUBBISH, (json.JSONDecodeError,)),
            (Failure.TIMEOUT, (kinds.Timeout, httpx.TimeoutException)),
            (Failure.CONNECTION, (kinds.MidStreamFallbackError, kinds.APIConnectionError, httpx.TransportError)),
        ]
        causes = list(causes_of(error))
        detail = encodable(f"{type(error).__name__}: {str(error)[:500]}")
        for kind, types in rows:
            if any(isinstance(cause, types) for cause in causes):
                return ModelFailed(kind, detail)
        headers = getattr(error, "litellm_response_headers", None) or {}
        kind = failure_of_status(getattr(error, "status_code", None))
        return ModelFailed(kind, detail, retry_after(headers.get("retry-after")))


def reply_tokens(window: int, completion: int) -> int:
    """What is asked for in a reply: no more than a small window can spare."""
    return min(completion, window // 4)


def route(model: str, base_url: str, api_key: str) -> dict[str, Any]:
    """litellm's `model`, `api_base` and `api_key` for a model as the user names it.

    Raises `ModelFailed` when the name needs a base URL and there is none.
    """
    prefix, _, rest = model.partition("/")
    if prefix in LOCAL_SERVERS:
        address = base_url or LOCAL_SERVERS[prefix]
        if not address:
            raise ModelFailed(Failure.REFUSED, f"{model} needs COHORT_MODEL_BASE_URL")
        name = model if prefix == "scripted" else rest
        return {"model": f"openai/{name}", "api_base": address, "api_key": api_key or "none"}
    if base_url and (prefix == "openai" or not rest):
        return {"model": model if rest else f"openai/{model}", "api_base": base_url, "api_key": api_key or "none"}
    return {"model": model, **({"api_key": api_key} if api_key else {})}


def _has_ended(chunk: Any) -> bool:
    return bool(chunk.choices and chunk.choices[0].finish_reason)


def _counted(stream: Any) -> Any:
    """The chunk with the usage that follows the end of an OpenAI-like reply, read past litellm; None where none comes.

    At the end of a stream litellm builds the whole reply and prices it twice for its callbacks, half of a call's cost.
    """
    if stream.custom_llm_provider != "openai":
        return None
    return next((chunk for chunk in list(stream.completion_stream) if getattr(chunk, "usage", None)), None)


def _next(chunks: "queue.Queue[Any]", deadline: float, total: float, stop: Callable[[], bool]) -> Any:
    while True:
        if stop():
            raise ModelFailed(Failure.INTERRUPTED, "the call was given up because the run is")
        now = time.monotonic()
        if now > deadline or now > total:
            raise ModelFailed(Failure.TIMEOUT, "the model went silent" if now > deadline else "the reply took too long")
        try:
            return chunks.get(timeout=min(0.2, deadline - now + 0.001, total - now + 0.001))
        except queue.Empty:
            continue
