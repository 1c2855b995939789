"""Points that programs in pods reach, and where a test may have them wait: a small HTTP server on this machine.

`GET /NAME/POINT` counts, and is answered once the gate is open. Gates are open unless a test closes them.
"""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

_LONGEST_WAIT_SECONDS = 240.0


class Gates:
    """The gates of a session, from `with` to its end."""

    def __init__(self, host: str) -> None:
        self._changed = threading.Condition()
        self._closed: set[tuple[str, str]] = set()
        self._reached: Counter[tuple[str, str]] = Counter()
        self._server = ThreadingHTTPServer((host, 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="gates", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed.clear()
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def close(self, name: str, point: str) -> None:
        """Whoever of `name` reaches `point` waits there."""
        with self._changed:
            self._closed.add((name, point))

    def open(self, name: str) -> None:
        """Nobody of `name` waits any more."""
        with self._changed:
            self._closed = {gate for gate in self._closed if gate[0] != name}
            self._changed.notify_all()

    def reached(self, name: str, point: str) -> int:
        """How often the point was reached."""
        with self._changed:
            return self._reached[name, point]

    def _reach(self, name: str, point: str) -> None:
        with self._changed:
            self._reached[name, point] += 1
            self._changed.wait_for(lambda: (name, point) not in self._closed, _LONGEST_WAIT_SECONDS)


def _handler(gates: Gates) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, name, point = self.path.split("/")
            gates._reach(name, point)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
