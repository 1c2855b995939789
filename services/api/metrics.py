"""What Prometheus sees of the API. Counts by route, never by run: ids would make a series each."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The API's series, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "cohort_api_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "cohort_api_request_seconds",
            "From the request's arrival to the start of its answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.runs_submitted = Counter(
            "cohort_runs_submitted", "Goals accepted, without repeated ones.", registry=self.registry
        )
        self.log_bytes = Counter("cohort_log_ingest_bytes", "Log bytes taken from runners.", registry=self.registry)
        self.log_rewinds = Counter(
            "cohort_log_rewinds",
            "Times a runner was told to send log bytes from an earlier place.",
            registry=self.registry,
        )
        self.sse_clients = Gauge("cohort_sse_clients", "Open streams of events and logs.", registry=self.registry)

    def text(self) -> bytes:
        """All series in Prometheus' text format."""
        return generate_latest(self.registry)
