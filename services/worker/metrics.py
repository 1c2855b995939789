"""What a worker process counts of its own, for Prometheus."""

from services.core.lifecycle import Status
from services.core.monitoring.instruments import Registry
from services.core.monitoring.series import MOMENTS, counter, gauge, histogram

SLOTS = gauge("cohort_worker_slots", "Runs that this process advances at once, at most.")
LEASES = gauge("cohort_worker_leases", "Leases held by this process.")
SLICES = counter("cohort_worker_slices_total", "Slices, by what came of them.", "outcome")
HINTS = counter("cohort_worker_hints_total", "Hints taken up, by what the claim of the run answered.", "result")
CANARY_AGE_SECONDS = gauge(
    "cohort_worker_canary_age_seconds",
    "For how long this process's own hint has not come back; 0 while it has no room for one, or drains.",
)
LEASE_RENEW_SECONDS = histogram(
    "cohort_lease_renew_seconds", "How long it took to renew a lease, of those renewed.", buckets=MOMENTS
)
LEASES_LOST = counter("cohort_leases_lost_total", "Leases that were over before their holder gave them back.")
FENCED_WRITES = counter(
    "cohort_fenced_writes_total", "Writes that were refused because another worker holds the run by now."
)
TURN_OVERHEAD_SECONDS = histogram(
    "cohort_turn_overhead_seconds",
    "What a turn takes before and after its model's own time: the view, the money, the records. Without the tools.",
    buckets=MOMENTS,
)

TAKEN, UNAVAILABLE, FENCED, NEWER = "taken", "store_unavailable", "fenced", "newer"
_REFUSED = ("busy", "idle", "final", "missing")


class WorkerMetrics:
    """One worker's own series, in its process's registry."""

    def __init__(self, registry: Registry) -> None:
        self.slots = registry.gauge(SLOTS)
        self.leases = registry.gauge(LEASES)
        self.slices = registry.counter(SLICES, [(one,) for one in (*Status, *_REFUSED, FENCED, NEWER, UNAVAILABLE)])
        self.hints = registry.counter(HINTS, [(one,) for one in (TAKEN, *_REFUSED, UNAVAILABLE)])
        self.canary_age = registry.gauge(CANARY_AGE_SECONDS)
        self.renew_seconds = registry.histogram(LEASE_RENEW_SECONDS)
        self.leases_lost = registry.counter(LEASES_LOST)
        self.fenced_writes = registry.counter(FENCED_WRITES)
        self.turn_overhead = registry.histogram(TURN_OVERHEAD_SECONDS)
