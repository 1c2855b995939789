"""How many Jobs may be in flight, of one tenant and of all, and how fast they are made. Every refusal says which."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.worker.executors.kubernetes.metrics import Metrics

_COUNT_SECONDS = 0.25


@dataclass(frozen=True)
class Limits:
    """`burst` Jobs may be made at once, then `per_second` of them each second."""

    in_flight: int = 2000
    in_flight_per_tenant: int = 2000
    per_second: float = 20.0
    burst: int = 50


class Valves:
    """Asked before every creation. Threads may share it."""

    def __init__(self, limits: Limits, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(limits.burst)
        self._filled_at = clock()
        self._counted: Counter[str] = Counter()
        self._counted_at = -math.inf
        self._coming: Counter[str] = Counter()
        self._made: Counter[str] = Counter()

    def enter(self, tenant: str, in_flight: Callable[[], Iterable[str]]) -> str | None:
        """Let one Job of the tenant be made: None, or why not now. `in_flight`: the tenant of every Job in flight.

        Who was let in calls `leave` once its Job is among those in flight, or was not made after all.
        """
        with self._lock:
            tenants = self._count(in_flight)
            held = self._full(tenant, tenants) or self._too_fast()
            if held is None:
                self._coming[tenant] += 1
            else:
                self._metrics.held.labels(held[0]).inc()
            return held[1] if held else None

    def leave(self, tenant: str) -> None:
        with self._lock:
            self._coming[tenant] -= 1
            self._made[tenant] += 1

    def _count(self, in_flight: Callable[[], Iterable[str]]) -> Counter[str]:
        """Jobs in flight by tenant: never too few. Counted anew a few times a second, for thousands may wait."""
        if self._clock() - self._counted_at > _COUNT_SECONDS:
            # What was made before is among them by now.
            self._made.clear()
            self._counted = Counter(in_flight())
            self._counted_at = self._clock()
        tenants = self._counted + self._coming + self._made
        self._metrics.in_flight.set(tenants.total())
        return tenants

    def _full(self, tenant: str, tenants: Counter[str]) -> tuple[str, str] | None:
        most, mine = self._limits.in_flight, self._limits.in_flight_per_tenant
        if tenants.total() >= most:
            return "cluster", f"{tenants.total()} Jobs are in flight, and {most} is the most for the cluster"
        if tenants[tenant] >= mine:
            return "tenant", f"the tenant has {tenants[tenant]} Jobs in flight, and {mine} is the most for one"
        return None

    def _too_fast(self) -> tuple[str, str] | None:
        now = self._clock()
        self._tokens = min(self._limits.burst, self._tokens + (now - self._filled_at) * self._limits.per_second)
        self._filled_at = now
        if self._tokens < 1:
            return "rate", f"Jobs are made at {self._limits.per_second:g} a second, and others come first"
        self._tokens -= 1
        return None
