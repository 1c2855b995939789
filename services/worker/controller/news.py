"""What is to be seen to first: runs and attempts of which somebody said that something happened.

A hint like all announcements: one that is lost costs a pause, never a step.
"""

import threading
from collections.abc import Collection, Mapping
from itertools import islice

from services.core.keys import run_of_attempt, split_rank

_SOME = 8

EVERY_ATTEMPT = None
"""Of a run: all its live attempts."""


class News:
    """The names that came and were not taken yet, each once. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: dict[str, set[str]] = {}
        self._runs: dict[str, None] = {}
        self._has_come = threading.Event()

    def tell(self, name: str) -> None:
        """Something happened to a run, an attempt, or a rank of one."""
        attempt, _ = split_rank(name)
        run = run_of_attempt(attempt)
        with self._lock:
            if run == attempt:
                self._runs[run] = None
            else:
                self._attempts.setdefault(run, set()).add(attempt)
        self._has_come.set()

    def take(self) -> Mapping[str, Collection[str] | None]:
        """Some of what came and was not taken yet, by run: attempts first, then runs with `EVERY_ATTEMPT`; the oldest
        of each first. What happens to attempts is seen to quickly, and many runs may have come at once."""
        with self._lock:
            if self._attempts:
                return {run: self._attempts.pop(run) for run in list(islice(self._attempts, _SOME))}
            came = list(islice(self._runs, _SOME))
            for run in came:
                del self._runs[run]
            if not self._runs:
                self._has_come.clear()
        return dict.fromkeys(came, EVERY_ATTEMPT)

    def forget(self) -> None:
        """Take everything, and do nothing about it."""
        with self._lock:
            self._attempts.clear()
            self._runs.clear()
            self._has_come.clear()

    def wait(self, seconds: float) -> None:
        """Return as soon as there is something to take, or after so long."""
        self._has_come.wait(seconds)
