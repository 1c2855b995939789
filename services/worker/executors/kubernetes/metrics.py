"""What the executor counts, for Prometheus."""

from services.core.monitoring.instruments import Registry
from services.core.monitoring.series import counter, gauge

REQUESTS = counter("cohort_kubernetes_requests_total", "Requests to the Kubernetes API.", "verb", "kind", "status")
IN_FLIGHT = gauge("cohort_kubernetes_jobs_in_flight", "Jobs that are not over.")
HELD = counter("cohort_kubernetes_held_total", "Creations put off, by the valve that did.", "valve")
CREATED = counter("cohort_kubernetes_jobs_created_total", "Jobs that were made.")
REMOVED = counter("cohort_kubernetes_jobs_removed_total", "Jobs that were deleted.")
BLIND_SECONDS = gauge(
    "cohort_kubernetes_blind_seconds", "For how long the Jobs and pods have not been seen; 0 while they are."
)
WATCH_AGE_SECONDS = gauge(
    "cohort_kubernetes_watch_age_seconds",
    "Since when the cluster has said nothing of a kind of object; NaN where we may not see them.",
    "kind",
)
RELISTS = counter("cohort_kubernetes_relists_total", "Lists taken, and why.", "reason")

START, DUE, EXPIRED, REFUSED, UNREACHABLE, FAILED = "start", "due", "expired", "refused", "unreachable", "failed"
_REASONS = (START, DUE, EXPIRED, REFUSED, UNREACHABLE, FAILED)
_VALVES = ("cluster", "tenant", "rate")


class Metrics:
    """One executor's numbers in one registry."""

    def __init__(self, registry: Registry | None = None) -> None:
        registry = registry or Registry("controller")
        self.requests = registry.counter(REQUESTS)
        self.in_flight = registry.gauge(IN_FLIGHT)
        self.held = registry.counter(HELD, [(valve,) for valve in _VALVES])
        self.created = registry.counter(CREATED)
        self.removed = registry.counter(REMOVED)
        self.blind_seconds = registry.gauge(BLIND_SECONDS)
        self.watch_age = registry.gauge(WATCH_AGE_SECONDS)
        self.relists = registry.counter(RELISTS, [(reason,) for reason in _REASONS])
