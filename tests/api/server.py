"""The API's server on a thread, and what tests read from its streams."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from services.api.__main__ import Server
from services.api.hub import Hub
from tests.servers import wait_until


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    url: str
    server: Server
    thread: threading.Thread

    def stop(self) -> None:
        """As SIGTERM does it: streams end, requests are finished."""
        if self.thread.is_alive():
            self.server.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


def serving(app: FastAPI, hub: Hub, host: str = "127.0.0.1") -> Served:
    """Serve `app` on a free port."""
    listener = socket.create_server((host, 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=10)
    server = Server(config, hub)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started, message="the API listens")
    return Served(f"http://{host}:{listener.getsockname()[1]}", server, thread)


@dataclass(frozen=True)
class Frame:
    """One server-sent event; a comment has neither id nor event."""

    id: str
    event: str
    data: Any
    text: str


def frames(response: httpx.Response) -> Iterator[Frame]:
    """The events of a stream as they come."""
    pending: list[str] = []
    for line in response.iter_lines():
        if line:
            pending.append(line)
            continue
        fields = dict(entry.split(": ", 1) for entry in pending if not entry.startswith(":"))
        data = json.loads(fields["data"]) if "data" in fields else None
        yield Frame(fields.get("id", ""), fields.get("event", ""), data, "\n".join(pending))
        pending = []
