"""What is true of every answer: it is named, counted and timed, not cached, not sniffed; a bug of ours is no exception.

A request's name is that of the header `X-Request-Id`, or a new one. It stands on every line that is logged for it, and
in the same header of its answer.
"""

import re
import time
from logging import DEBUG, INFO
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.metrics import Metrics
from services.api.problems import problem
from services.core.logging import about
from services.core.spans import Span, Trace, run_key

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SERVER_ERROR = 500
_REQUEST_ID = "X-Request-Id"
_IS_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_IS_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")

log = structlog.get_logger()


class Edge:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics, trace: Trace) -> None:
        self._app = app
        self._metrics = metrics
        self._trace = trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _named(Headers(scope=scope).get(_REQUEST_ID, ""))
        with about(request=request):
            await self._answer(scope, receive, send, request)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request: str) -> None:
        began = time.perf_counter()
        is_started = False

        async def start(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Content-Type-Options"] = "nosniff"
                headers[_REQUEST_ID] = request
                self._tell(scope, message["status"], headers, time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, start)
        except Exception as error:
            # The edge of a request. What has begun can only be broken off, so that nobody takes it for whole.
            log.exception("request_crashed", method=scope["method"], path=scope["path"])
            if is_started:
                raise
            await problem(error)(scope, receive, start)

    def _tell(self, scope: Scope, status: int, answered: MutableHeaders, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        named = scope.get("path_params", {})
        # What changes something is worth a line; runners, and those who only look, would drown it.
        is_told = method not in _READING and not route.startswith("/internal/")
        level = INFO if is_told else DEBUG
        milliseconds = round(1000 * seconds, 1)
        log.log(
            level, "request_answered", method=method, route=route, status=status, milliseconds=milliseconds, **named
        )
        # A new run is named by where it is.
        run = named.get("run") or answered.get("Location", "").rpartition("/")[2]
        if is_told and run:
            self._trace(_span(run, f"{method} {route}", status, answered[_REQUEST_ID], seconds, Headers(scope=scope)))


def _span(run: str, name: str, status: int, request: str, seconds: float, asked: Headers) -> Span:
    now, link = time.time(), asked.get("traceparent", "")
    return Span(
        run,
        f"request:{request}:{now}",
        run_key(run),
        name,
        now - seconds,
        now,
        kind="server",
        error=str(status) if status >= _SERVER_ERROR else "",
        attributes={"http.response.status_code": status, "cohort.request": request, "cohort.run": run},
        link=link if _IS_TRACEPARENT.fullmatch(link) else "",
    )


def _named(asked: str) -> str:
    return asked if _IS_REQUEST_ID.fullmatch(asked) else uuid4().hex
