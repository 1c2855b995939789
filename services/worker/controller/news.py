"""What is to be seen to first: runs and attempts of which somebody said that something happened.

A hint like all announcements: one that is lost costs a pause, never a step.
"""

import threading
from collections.abc import Collection, Mapping
from itertools import islice

from services.core.keys import run_of_attempt, split_rank

EVERY_ATTEMPT = None
"""Of a run: all its live attempts."""


class News:
    """The names that came and were not taken yet, each once. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._came: dict[str, set[str] | None] = {}
        self._has_come = threading.Event()

    def tell(self, name: str) -> None:
        """Something happened to a run, an attempt, or a rank of one."""
        attempt, _ = split_rank(name)
        run = run_of_attempt(attempt)
        with self._lock:
            known = self._came.setdefault(run, set())
            if run == attempt:
                self._came[run] = EVERY_ATTEMPT
            elif known is not EVERY_ATTEMPT:
                known.add(attempt)
        self._has_come.set()

    def take(self, most: int) -> Mapping[str, Collection[str] | None]:
        """What came first and was not taken yet, of so many runs: by run the attempts, or `EVERY_ATTEMPT`."""
        with self._lock:
            came = {run: self._came.pop(run) for run in list(islice(self._came, most))}
            if not self._came:
                self._has_come.clear()
        return came

    def forget(self) -> None:
        """Take everything, and do nothing about it."""
        with self._lock:
            self._came.clear()
            self._has_come.clear()

    def wait(self, seconds: float) -> None:
        """Return as soon as there is something to take, or after so long."""
        self._has_come.wait(seconds)
