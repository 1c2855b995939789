"""Whether hints still reach this process: it sends itself one every few seconds, and notices when none comes back.

A worker can hold its connections, renew its leases and yet take nothing from the queue any more. Only a message that
went the whole way, broker, consumer and pool, shows that it does. A broker that is away is no fault of this process,
and one whose slots are all taken has no room for a canary: neither counts.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from uuid import uuid4

import structlog
from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError

TASK = "canary"
_SECONDS = 10.0
_LATE_SECONDS = 120.0
# The broker forgets the queue of a process that died.
_EXPIRES_SECONDS = 300

log = structlog.get_logger()


class Canary:
    """A process's own hint, on a queue of its own. Use as a context manager, with a worker that takes from `queue`."""

    def __init__(
        self, app: Celery, is_full: Callable[[], bool], seconds: float = _SECONDS, late_seconds: float = _LATE_SECONDS
    ) -> None:
        self.queue = f"canary.{uuid4().hex}"
        self._app = app
        self._is_full = is_full
        self._seconds = seconds
        self._late_seconds = late_seconds
        self._waiting_since: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sing, name="canary", daemon=True)
        queue = Queue(self.queue, routing_key=self.queue, expires=_EXPIRES_SECONDS)  # type: ignore[no-untyped-call]
        app.amqp.queues.add(queue)

        @app.task(name=TASK)  # type: ignore[untyped-decorator]
        def hear() -> None:
            self._waiting_since = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Nothing comes back to a worker that drains, and nobody is to mind."""
        self._stopped.set()

    def age(self) -> float:
        """For how many seconds the hint that was sent has not come back; 0 where none is out, or none can come back."""
        since = self._waiting_since
        if since is None or self._stopped.is_set() or self._is_full():
            return 0.0
        return time.monotonic() - since

    def trouble(self) -> str:
        """Why this process is not alive; empty while it is."""
        silent = self.age()
        return f"no hint has come back for {silent:.0f} s" if silent > self._late_seconds else ""

    def _sing(self) -> None:
        while not self._stopped.wait(self._seconds):
            if self._is_full():
                self._waiting_since = None
                continue
            asked = time.monotonic()
            # Before it is sent: it may be heard at once.
            self._waiting_since = self._waiting_since or asked
            try:
                self._app.send_task(TASK, queue=self.queue, retry=False, ignore_result=True, expires=_EXPIRES_SECONDS)
            except (OperationalError, OSError) as error:
                self._waiting_since = None
                log.warning("canary_not_sent", error=str(error))
