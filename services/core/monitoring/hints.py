"""Counting the hints that a process publishes."""

from collections.abc import Callable

from services.core.monitoring.instruments import Registry
from services.core.monitoring.series import counter

HINTS_PUBLISHED = counter("cohort_hints_published_total", "Hints sent to the workers' queue.", "result")
_OK, _FAILED = "ok", "failed"


def counted_hints(registry: Registry) -> Callable[[bool], None]:
    """What `CeleryHints` is to tell of each hint."""
    published = registry.counter(HINTS_PUBLISHED, [(_OK,), (_FAILED,)])
    return lambda is_out: published.labels(_OK if is_out else _FAILED).inc()
