"""The HTTP face of the scripted model: the chat-completions API over a set of playbooks.

`POST /v1/chat/completions`, `GET /v1/models`, `GET /healthz`, and `GET /requests` for tests that
count calls. Keys are ignored: what it serves is no secret and costs nothing.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.scripted.conversation import ConversationInvalid, Message, opening_text
from services.scripted.delivery import Delivery, HalfDelivery, Silence
from services.scripted.faults import (
    ArgumentsFault,
    ConnectionFault,
    ContentFault,
    Fault,
    FaultLedger,
    RubbishFault,
    SlowFault,
    StatusFault,
)
from services.scripted.playbook import Playbook
from services.scripted.replay import Reply, Unanswerable, next_reply, spoilt
from services.scripted.usage import estimate
from services.scripted.wire import Envelope, completion_json, error_json, models_json, stream_events

REQUESTS_KEPT = 1_000
MODEL_PREFIX = "scripted/"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's body, as far as it is looked at."""

    model: str
    messages: list[Message]
    tools: list[Mapping[str, Any]]
    stream: bool
    include_usage: bool

    @property
    def playbook(self) -> str:
        """What follows the last `/` of the model: `digits`, `scripted/digits` and `openai/scripted/digits` are one."""
        return self.model.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """What `GET /requests` tells about one request. `state` and `fault` are empty where there was no reply."""

    model: str
    messages: int
    tools: int
    stream: bool
    state: str
    fault: str


class Refused(Exception):
    """The request gets an error of the API's instead of a reply."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class ScriptedModel:
    """The endpoints, and the two things that last between requests: faults given and requests seen."""

    def __init__(self, playbooks: Mapping[str, Playbook], delay_seconds: float) -> None:
        self._playbooks = playbooks
        self._delay_seconds = delay_seconds
        self._faults = FaultLedger()
        self._seen: Counter[str] = Counter()
        self._recent: deque[RequestSummary] = deque(maxlen=REQUESTS_KEPT)

    async def complete(self, request: Request) -> Response:
        try:
            asked = _read(await request.body())
            reply, fault, conversation = self._reply(asked)
        except Refused as refusal:
            body = error_json(str(refusal), "invalid_request_error", refusal.code)
            return JSONResponse(body, status_code=refusal.status)
        return await self._deliver(asked, reply, fault, conversation)

    async def models(self, request: Request) -> Response:
        return JSONResponse(models_json([MODEL_PREFIX + name for name in self._playbooks]))

    async def requests(self, request: Request) -> Response:
        recent = [asdict(summary) for summary in self._recent]
        return JSONResponse({"total": self._seen.total(), "by_playbook": self._seen, "recent": recent})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def _reply(self, asked: Asked) -> tuple[Reply, Fault | None, str]:
        """The reply, the fault that is due on it, and the conversation's short name. Raises Refused."""
        playbook = self._playbooks.get(asked.playbook)
        if playbook is None:
            names = ", ".join(self._playbooks)
            raise Refused(404, f"The model {asked.model!r} does not exist. Playbooks here: {names}", "model_not_found")
        self._seen[playbook.name] += 1
        try:
            reply = next_reply(playbook, asked.messages)
            _check_offered(reply, asked)
        except ConversationInvalid as error:
            self._note(asked)
            raise Refused(400, str(error), "invalid_messages") from error
        except Unanswerable as error:
            self._note(asked)
            raise Refused(400, str(error), "playbook_does_not_fit") from error
        conversation = hashlib.sha256(opening_text(asked.messages).encode()).hexdigest()[:16]
        fault = self._faults.take(reply.fault, playbook.name, reply.state, conversation)
        self._note(asked, reply.state, fault.kind if fault else "")
        return reply, fault, conversation

    def _note(self, asked: Asked, state: str = "", fault: str = "") -> None:
        self._recent.append(
            RequestSummary(asked.model, len(asked.messages), len(asked.tools), asked.stream, state, fault)
        )

    async def _deliver(self, asked: Asked, reply: Reply, fault: Fault | None, conversation: str) -> Response:
        match fault:
            case StatusFault():
                return _status_response(fault)
            case RubbishFault():
                return Response(fault.body, media_type="text/html")
            case ConnectionFault(kind="hang"):
                return Silence()
            case SlowFault():
                await asyncio.sleep(fault.seconds)
            case ArgumentsFault() | ContentFault():
                reply = spoilt(reply, fault)
        envelope = Envelope(f"chatcmpl-scripted-{conversation}-{reply.turn:04d}", asked.model, int(time.time()))
        pieces, media_type = _pieces(asked, reply, envelope)
        if isinstance(fault, ConnectionFault):
            return HalfDelivery(pieces, media_type, then="hang" if fault.kind == "stall" else "close")
        return Delivery(pieces, media_type, delay_seconds=self._delay_seconds)


def build_app(playbooks: Mapping[str, Playbook], *, delay_seconds: float = 0.0) -> Starlette:
    """The ASGI application that serves `playbooks` (by name), pausing `delay_seconds` between deltas."""
    model = ScriptedModel(playbooks, delay_seconds)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", model.complete, methods=["POST"]),
            Route("/v1/models", model.models),
            Route("/requests", model.requests),
            Route("/healthz", model.health),
        ]
    )


def _read(body: bytes) -> Asked:
    """Raises Refused where the body isn't a chat-completions request."""
    try:
        raw = json.loads(body)
    except ValueError as error:
        raise Refused(400, f"The body is not JSON: {error}", "invalid_body") from error
    match raw:
        case {"model": str(model), "messages": [_, *_] as messages} if all(isinstance(m, dict) for m in messages):
            options = raw.get("stream_options") or {}
            return Asked(
                model=model,
                messages=messages,
                tools=raw.get("tools") or [],
                stream=bool(raw.get("stream")),
                include_usage=bool(options.get("include_usage")),
            )
        case _:
            raise Refused(400, "The body needs a model (text) and messages (a list of objects)", "invalid_body")


def _check_offered(reply: Reply, asked: Asked) -> None:
    """A model can only call what it was offered; with no tools in the request nothing is checked.

    Raises Unanswerable.
    """
    offered = {tool.get("function", {}).get("name") for tool in asked.tools}
    missing = sorted({call.tool for call in reply.calls} - offered)
    if offered and missing:
        where = f"playbook {asked.playbook}, state {reply.state}"
        raise Unanswerable(f"{where}: calls {', '.join(missing)}, which the request doesn't offer")


def _status_response(fault: StatusFault) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    kind = (
        "rate_limit_error"
        if fault.status == 429
        else "server_error"
        if fault.status >= 500
        else "invalid_request_error"
    )
    return JSONResponse(error_json(fault.message, kind, fault.code), status_code=fault.status, headers=headers)


def _pieces(asked: Asked, reply: Reply, envelope: Envelope) -> tuple[list[bytes], str]:
    """The reply's bytes in the order they are sent, and their media type."""
    usage = estimate(asked.messages, asked.tools, reply)
    if asked.stream:
        return stream_events(reply, usage, envelope, include_usage=asked.include_usage), "text/event-stream"
    body = json.dumps(completion_json(reply, usage, envelope), ensure_ascii=False).encode()
    middle = len(body) // 2
    return [body[:middle], body[middle:]], "application/json"
