"""A small server of the runner's protocol that keeps what it is sent and misbehaves on request.

Not the API: it checks what the protocol promises (offsets, checksums, digests, the claim) and nothing else.
"""

import asyncio
import hashlib
import socket
import threading
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

TOKEN = "token-that-nobody-else-may-see"

Answer = Callable[[Request], Awaitable[Response]]


@dataclass
class Kept:
    """What the server knows of one attempt."""

    pod_uid: str = ""
    log: bytearray = field(default_factory=bytearray)
    offsets: list[int] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    observations: list[dict[str, Any]] = field(default_factory=list)
    outputs: dict[str, bytes] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    parcels: list[int] = field(default_factory=list)
    objects: list[bytes] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    heartbeats: int = 0
    finishes: list[dict[str, Any]] = field(default_factory=list)
    accepted: dict[str, Any] | None = None
    fenced: bool = False
    cancel: bool = False


class HalfAnAnswer(Response):
    """Breaks the connection after the request was carried out and before the answer is whole."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"100")],
            }
        )
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionAbortedError


class Ingest:
    """The server on a thread of its own. `stop` and `start` keep the port and everything that was sent."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.reset()
        self._host = host
        self._port = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def reset(self) -> None:
        """Forget everything, and behave."""
        self.attempts: dict[str, Kept] = defaultdict(Kept)
        self.largest_body = 1 << 20
        self.delay_seconds = 0.0
        # Per kind of call: what to answer instead of carrying it out, or instead of the answer after it.
        self.instead: dict[str, deque[Response]] = defaultdict(deque)
        self.afterwards: dict[str, deque[Response]] = defaultdict(deque)

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._host, self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app(),
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join()

    def _app(self) -> Starlette:
        def route(path: str, method: str, kind: str, answer: Answer) -> Route:
            async def endpoint(request: Request) -> Response:
                return await self._serve(kind, answer, request)

            return Route("/internal/v1/attempts/{attempt}" + path, endpoint, methods=[method])

        return Starlette(
            routes=[
                route("/claim", "POST", "claim", self._claim),
                route("/log", "PUT", "log", self._log),
                route("/observations", "POST", "observations", self._observations),
                route("/heartbeat", "POST", "heartbeat", self._heartbeat),
                route("/outputs/{path:path}", "PUT", "outputs", self._outputs),
                route("/files", "GET", "files", self._files),
                route("/blobs/{sha256}", "GET", "blobs", self._blobs),
                route("/parcel", "POST", "parcel", self._parcel),
                route("/checkpoint", "GET", "checkpoint", self._newest),
                route("/checkpoint", "PUT", "version", self._version),
                route("/checkpoint/objects", "PUT", "objects", self._objects),
                route("/finish", "POST", "finish", self._finish),
            ]
        )

    def _kept(self, request: Request) -> Kept:
        return self.attempts[request.path_params["attempt"]]

    async def _serve(self, kind: str, answer: Answer, request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"title": "wrong token"}, 401)
        if kind == "log":
            self._kept(request).ages.append(float(request.headers["X-Log-Age"]))
        if self.instead[kind]:
            return self.instead[kind].popleft()
        if self._kept(request).fenced:
            return JSONResponse({"title": "fenced"}, 410)
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        try:
            response = await answer(request)
        except ClientDisconnect:
            return Response(status_code=500)
        return self.afterwards[kind].popleft() if self.afterwards[kind] else response

    async def _claim(self, request: Request) -> Response:
        kept, pod_uid = self._kept(request), (await request.json())["pod_uid"]
        if kept.pod_uid not in ("", pod_uid):
            return JSONResponse({"title": "claimed by another"}, 409)
        kept.pod_uid = pod_uid
        return JSONResponse({"claimed": True})

    async def _log(self, request: Request) -> Response:
        kept, body = self._kept(request), await request.body()
        offset = int(request.query_params["offset"])
        if len(body) > self.largest_body:
            return JSONResponse({"title": "too large"}, 413)
        if f"{google_crc32c.value(body):08x}" != request.headers["X-Crc32c"]:
            return JSONResponse({"title": "damaged"}, 400)
        if offset != len(kept.log):
            return JSONResponse({"expected_offset": len(kept.log)}, 409)
        kept.log += body
        kept.offsets.append(offset)
        return Response(status_code=204, headers={"X-Log-Offset": str(len(kept.log))})

    async def _observations(self, request: Request) -> Response:
        self._kept(request).observations.append(await request.json())
        return Response(status_code=204)

    async def _heartbeat(self, request: Request) -> Response:
        kept = self._kept(request)
        kept.heartbeats += 1
        return JSONResponse({"cancel": kept.cancel, "grace_seconds": 1})

    async def _outputs(self, request: Request) -> Response:
        body = b"".join([chunk async for chunk in request.stream()])
        if hashlib.sha256(body).hexdigest() != request.headers["X-Sha256"]:
            return JSONResponse({"title": "damaged"}, 400)
        self._kept(request).outputs[request.path_params["path"]] = body
        return JSONResponse({"sha256": request.headers["X-Sha256"], "size": len(body)}, 201)

    async def _files(self, request: Request) -> Response:
        return JSONResponse({"files": self._kept(request).files})

    async def _blobs(self, request: Request) -> Response:
        data = self._kept(request).blobs.get(request.path_params["sha256"])
        return JSONResponse({"title": "no such file"}, 404) if data is None else Response(data)

    async def _parcel(self, request: Request) -> Response:
        blobs, digests = self._kept(request).blobs, (await request.json())["digests"]
        self._kept(request).parcels.append(len(digests))
        if not set(digests) <= blobs.keys():
            return JSONResponse({"title": "no such file"}, 404)
        return Response(b"".join(blobs[sha256] for sha256 in digests))

    async def _newest(self, request: Request) -> Response:
        versions = self._kept(request).versions
        return JSONResponse(versions[-1] if versions else {"number": 0, "files": []})

    async def _objects(self, request: Request) -> Response:
        body = b"".join([chunk async for chunk in request.stream()])
        sha256 = hashlib.sha256(body).hexdigest()
        if sha256 != request.headers["X-Sha256"]:
            return JSONResponse({"title": "damaged"}, 400)
        self._kept(request).objects.append(body)
        return JSONResponse({"sha256": sha256, "size": len(body), "receipt": f"brought {sha256[:8]}"}, 201)

    async def _version(self, request: Request) -> Response:
        kept, version = self._kept(request), await request.json()
        if not kept.versions or version["number"] > kept.versions[-1]["number"]:
            kept.versions.append(version)
        return JSONResponse({"number": kept.versions[-1]["number"]})

    async def _finish(self, request: Request) -> Response:
        kept, report = self._kept(request), await request.json()
        kept.finishes.append(report)
        if hashlib.sha256(kept.log).hexdigest() != report["sha256"] or len(kept.log) != report["bytes"]:
            kept.log.clear()
            return JSONResponse({"expected_offset": 0, "detail": "another digest"}, 409)
        kept.accepted = report
        return JSONResponse({"complete": True})
