"""Holding leases: one thread per worker process renews them all, so that a long model call never loses its run.

A holder stops on its own before its lease can have expired: `Held.check` compares the monotonic clock with the last
renewal that is known to have happened.
"""

import threading
import time
from types import TracebackType
from typing import Self
from uuid import uuid4

import structlog

from services.core.errors import Fenced, StoreUnavailable
from services.core.lifecycle import Status
from services.core.monitoring.instruments import Registry
from services.core.store import Lease, Refused, RunStore
from services.worker.metrics import TAKEN, UNAVAILABLE, WorkerMetrics

log = structlog.get_logger()

_MARGIN = 0.2


class Held:
    """A lease in this process's hands."""

    def __init__(self, lease: Lease, safe_until: float) -> None:
        self.lease = lease
        self.safe_until = safe_until
        self.is_lost = False
        self.is_cancelling = False
        self.is_given_back = False
        """The holder's last write gave it back."""

    def check(self) -> None:
        """Raise `Fenced` when the lease is lost, or could be by now."""
        if self.is_lost or time.monotonic() > self.safe_until:
            raise Fenced(f"the lease on run {self.lease.run} is over")

    @property
    def is_over(self) -> bool:
        """True when `check` would raise."""
        return self.is_lost or time.monotonic() > self.safe_until


class LeaseKeeper:
    """Claims runs and renews the claims until they are released. Use as a context manager."""

    def __init__(self, store: RunStore, lease_seconds: float, metrics: WorkerMetrics | None = None) -> None:
        self.metrics = metrics or WorkerMetrics(Registry("worker"))
        self._store = store
        self._seconds = lease_seconds
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()

    def claim(self, run: str) -> Held | Refused:
        """Take the lease of `run`, or say why there is none to take."""
        asked = time.monotonic()
        try:
            lease = self._store.claim(run, uuid4().hex, self._seconds)
        except StoreUnavailable:
            self.metrics.hints.labels(UNAVAILABLE).inc()
            raise
        self.metrics.hints.labels(lease.why if isinstance(lease, Refused) else TAKEN).inc()
        if isinstance(lease, Refused):
            return lease
        held = Held(lease, self._safe_until(asked))
        with self._lock:
            self._held[run] = held
        return held

    def drop(self, held: Held) -> None:
        """Renew no longer. The lease itself was released by the holder's last write, or runs out."""
        with self._lock:
            if self._held.get(held.lease.run) is held:
                del self._held[held.lease.run]
        if held.is_over and not held.is_given_back:
            self.metrics.leases_lost.inc()

    def count(self) -> int:
        """How many leases this process holds."""
        with self._lock:
            return len(self._held)

    def _safe_until(self, asked: float) -> float:
        return asked + self._seconds * (1 - _MARGIN)

    def _renew_for_ever(self) -> None:
        while not self._stopped.wait(self._seconds / 3):
            with self._lock:
                held = list(self._held.values())
            for one in held:
                self._renew(one)

    def _renew(self, held: Held) -> None:
        asked = time.monotonic()
        try:
            status = self._store.renew(held.lease, self._seconds)
        except StoreUnavailable as error:
            log.warning("lease_not_renewed", run=held.lease.run, error=str(error))
            return
        if status is None:
            held.is_lost = True
            return
        self.metrics.renew_seconds.observe(time.monotonic() - asked)
        held.safe_until = self._safe_until(asked)
        held.is_cancelling = status is Status.CANCELLING
