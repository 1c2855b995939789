"""Hints that cost their caller nothing: published by a thread of their own, from a bounded queue."""

import queue
import threading
from typing import Protocol

_MAX_WAITING = 10_000


class Publisher(Protocol):
    """Whoever can be told that a run is due."""

    def publish(self, run: str) -> None: ...


class BackgroundHints:
    """Passes hints on to `hints`, which may be slow or away. What does not fit into the queue is dropped.

    The sweeper finds a run whose hint is lost within seconds, so nothing is waited for, not even at the end.
    """

    def __init__(self, hints: Publisher) -> None:
        self._hints = hints
        self._waiting: queue.Queue[str] = queue.Queue(_MAX_WAITING)
        threading.Thread(target=self._run, name="hints", daemon=True).start()

    def publish(self, run: str) -> None:
        try:
            self._waiting.put_nowait(run)
        except queue.Full:
            # The broker is far behind; more hints would not make it faster.
            return

    def _run(self) -> None:
        while True:
            self._hints.publish(self._waiting.get())
