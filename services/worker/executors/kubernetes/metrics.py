"""What the executor counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """One executor's numbers in one registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.requests = Counter(
            "cohort_kubernetes_requests",
            "Requests to the Kubernetes API.",
            ["verb", "kind", "status"],
            registry=registry,
        )
        self.in_flight = Gauge("cohort_kubernetes_jobs_in_flight", "Jobs that are not over.", registry=registry)
        self.held = Counter(
            "cohort_kubernetes_held", "Creations put off, by the valve that did.", ["valve"], registry=registry
        )
        self.created = Counter("cohort_kubernetes_jobs_created", "Jobs made.", registry=registry)
        self.removed = Counter("cohort_kubernetes_jobs_removed", "Jobs deleted.", registry=registry)
        self.blind_seconds = Gauge(
            "cohort_kubernetes_blind_seconds", "For how long the cluster has not been seen.", registry=registry
        )
