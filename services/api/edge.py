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

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = "X-Request-Id"
_IS_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")

log = structlog.get_logger()


class Edge:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

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
                self._count(scope, message["status"], time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, start)
        except Exception as error:
            # The edge of a request. What has begun can only be broken off, so that nobody takes it for whole.
            log.exception("request_crashed", method=scope["method"], path=scope["path"])
            if is_started:
                raise
            await problem(error)(scope, receive, start)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        # What changes something is worth a line; runners, and those who only look, would drown it.
        is_told = method not in _READING and not route.startswith("/internal/")
        log.log(
            INFO if is_told else DEBUG,
            "request_answered",
            method=method,
            route=route,
            status=status,
            milliseconds=round(1000 * seconds, 1),
            **scope.get("path_params", {}),
        )


def _named(asked: str) -> str:
    return asked if _IS_REQUEST_ID.fullmatch(asked) else uuid4().hex
