"""What a process without an API answers over HTTP: `/metrics` to Prometheus, `/healthz`, `/readyz` to the kubelet."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from services.core.errors import CohortError
from services.core.monitoring.instruments import CONTENT_TYPE, Registry

_TEXT = "text/plain; charset=utf-8"


CANNOT_LISTEN = 3
"""The exit code of a process that cannot listen, as uvicorn has it."""


class CannotListen(CohortError):
    """Somebody else has the port, or there is no such address."""


def answer_probes(
    host: str, port: int, registry: Registry, trouble: Callable[[], str], lack: Callable[[], str] = str
) -> ThreadingHTTPServer:
    """Answer on a thread until the process ends, on every address where `host` is ''; port 0 takes a free one.
    `trouble` says why this process is not alive, `lack` what it still waits for before it can work, each nothing where
    there is none: 200 or 503. Raises `CannotListen`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._send(200, CONTENT_TYPE, registry.text())
                case "/healthz":
                    self._tell(trouble())
                case "/readyz":
                    self._tell(trouble() or lack())
                case _:
                    self._send(404, _TEXT, b"there is /metrics, /healthz and /readyz\n")

        def _tell(self, wrong: str) -> None:
            self._send(503 if wrong else 200, _TEXT, f"{wrong or 'ok'}\n".encode())

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A probe every few seconds is no event."""

    try:
        server = ThreadingHTTPServer((host, port), Answer)
    except OSError as error:
        raise CannotListen(f"port {port} for /metrics and /healthz: {error.strerror}; give another one") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server
