"""Hints that cost their caller nothing: published by a thread of their own, from a short queue, and not too many.

A hint takes Celery a millisecond of this process's time. In a burst of goals that time is better spent on the next
goal: runs whose hint is dropped are found by the sweeper within seconds, when workers are free for them at all.
"""

import queue
import threading
import time
from typing import Protocol

import structlog

_MAX_WAITING = 100
_PAUSE_SECONDS = 0.01

log = structlog.get_logger()


class Publisher(Protocol):
    """Whoever can be told that a run is due."""

    def publish(self, run: str) -> None: ...


class BackgroundHints:
    """Passes hints on to `hints`, which may be slow or away. What does not fit into the queue is dropped.

    Nothing waits for it, not even the end of the process.
    """

    def __init__(self, hints: Publisher) -> None:
        self._hints = hints
        self._waiting: queue.Queue[str] = queue.Queue(_MAX_WAITING)
        threading.Thread(target=self._run, name="hints", daemon=True).start()

    def publish(self, run: str) -> None:
        try:
            self._waiting.put_nowait(run)
        except queue.Full:
            # The workers or the broker are behind; more hints would not make them faster.
            return

    def _run(self) -> None:
        while True:
            run = self._waiting.get()
            try:
                self._hints.publish(run)
            except Exception:
                # The edge of this thread: it must outlive whatever Celery's libraries raise.
                log.exception("hint_not_published", run=run)
            time.sleep(_PAUSE_SECONDS)
