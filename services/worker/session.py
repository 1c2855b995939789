"""One worker's hold on one run: the state it works from and the only way it writes.

Several tools may finish at once, so writes are serialised here. A write that comes second to an outside fact (a
message, a cancel, a finished attempt) is decided again from the newer state.
"""

import threading
import time
from collections.abc import Callable

from services.core.errors import Fenced, Stale
from services.core.records import RunState
from services.core.store import Draft, RunStore, Talk
from services.worker.leases import Held
from services.worker.metrics import WorkerMetrics


class RunOver(Fenced):
    """The run has ended meanwhile: there is nothing left to write."""


class Session:
    """A claimed run. Not for longer than the lease."""

    def __init__(self, store: RunStore, held: Held, draining: threading.Event, metrics: WorkerMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._draining = draining
        self._lock = threading.Lock()
        self.held = held
        self.state: RunState = store.state(held.lease.run)
        self.talk: list[Talk] = store.talk(held.lease.run)

    @property
    def run(self) -> str:
        return self.state.run

    @property
    def is_to_end(self) -> bool:
        """Long work is in vain: the lease is over, a cancel was asked for, or the run's time is up."""
        return self.held.is_over or self.held.is_cancelling or time.time() >= self.state.ends_at

    @property
    def must_stop(self) -> bool:
        """What can be left to the run's next holder should be left now."""
        return self.is_to_end or self._draining.is_set()

    def refresh(self) -> None:
        """Take in what others have written since."""
        with self._lock:
            self._reload()

    def _reload(self) -> None:
        # The talk is read after the state: it may be ahead of it, never behind.
        self.state = self._store.state(self.run)
        self.talk += self._store.talk(self.run, len(self.talk))

    def write(
        self, decide: Callable[[RunState], Draft | None], *, release: bool = False, wake_in: float | None = None
    ) -> bool:
        """Append what `decide` makes of the newest state; None writes nothing and returns False.

        Raises `Fenced` when the lease is gone or the run is over.
        """
        with self._lock:
            while True:
                self.held.check()
                if self.state.status.is_final:
                    raise RunOver(f"run {self.run} is over")
                draft = decide(self.state)
                if draft is None:
                    return False
                try:
                    written = self._store.append(self.held.lease, self.state, draft, release=release, wake_in=wake_in)
                except Stale:
                    self._reload()
                    continue
                except Fenced:
                    self._metrics.fenced_writes.inc()
                    raise
                self.held.is_given_back = release
                self.state = written.state
                self.talk += draft.talk
                return True
