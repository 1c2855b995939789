"""A server that answers as a test says, and keeps what it was asked."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from services.worker.web.transport import Place


@dataclass(frozen=True)
class Asked:
    """A request. Headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Told:
    """An answer. `pieces` are sent one after the other, with `pause` seconds between."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    pieces: int = 1
    pause: float = 0.0
    is_cut: bool = False


Answering = Callable[[Asked], Told]


class WebServer:
    """Listens from `with` to its end. `answer` is asked for every request; threads ask at once."""

    def __init__(self, answer: Answering) -> None:
        self.asked: list[Asked] = []
        outer = self

        class Take(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body)
                outer.asked.append(asked)
                self._send(answer(asked))

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _take  # noqa: N815

            def _send(self, told: Told) -> None:
                self.send_response(told.status)
                self.send_header("Content-Type", told.content_type)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                if "content-length" not in {name.lower() for name in told.headers}:
                    self.send_header("Content-Length", str(len(told.body) + (10 if told.is_cut else 0)))
                self.end_headers()
                size = max(1, len(told.body) // told.pieces)
                try:
                    for start in range(0, len(told.body), size):
                        self.wfile.write(told.body[start : start + size])
                        time.sleep(told.pause)
                except OSError:
                    self.close_connection = True
                if told.is_cut:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Tests look at what was asked."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def place(self) -> Place:
        return "127.0.0.1", int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.place[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def in_turn(*told: Told) -> Answering:
    """These answers, one after the other; the last one stays."""
    left = list(told)

    def answer(_: Asked) -> Told:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer
