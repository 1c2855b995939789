"""What Prometheus sees of the API. Counts by route, never by run: ids would make a series each."""

from services.core.monitoring.instruments import Registry
from services.core.monitoring.series import MOMENTS, WAITS, counter, gauge, histogram
from services.core.observations import Observations

REQUESTS = counter("cohort_api_requests_total", "Requests answered.", "method", "route", "status")
REQUEST_SECONDS = histogram(
    "cohort_api_request_seconds",
    "From a request's arrival to the start of its answer.",
    "method",
    "route",
    buckets=MOMENTS,
)
SSE_CLIENTS = gauge("cohort_sse_clients", "Open streams of events and logs.")
LOG_BYTES = counter("cohort_log_ingest_bytes_total", "Log bytes taken from runners.")
LOG_REWINDS = counter("cohort_log_rewinds_total", "Times a runner was told to send log bytes from an earlier place.")
LOG_LAG_SECONDS = histogram(
    "cohort_log_lag_seconds",
    "How old the oldest byte of what a runner sent of a log was when it was stored.",
    buckets=(*MOMENTS, *(seconds for seconds in WAITS if seconds > MOMENTS[-1])),
)
OBSERVATIONS = counter("cohort_observations_total", "What runners told of programs, repeated or not.", "kind")


class Metrics:
    """The API's own series, in its process's registry."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.requests = registry.counter(REQUESTS)
        self.seconds = registry.histogram(REQUEST_SECONDS)
        self.sse_clients = registry.gauge(SSE_CLIENTS)
        self.log_bytes = registry.counter(LOG_BYTES)
        self.log_rewinds = registry.counter(LOG_REWINDS)
        self.log_lag = registry.histogram(LOG_LAG_SECONDS)
        self._observations = registry.counter(OBSERVATIONS, [(kind,) for kind in _numbers(Observations())])

    def observed(self, seen: Observations) -> None:
        """A runner's batch was taken."""
        for kind, number in _numbers(seen).items():
            self._observations.labels(kind).inc(number)


def _numbers(seen: Observations) -> dict[str, int]:
    return {
        "metrics": len(seen.metrics),
        "progress": int(seen.progress is not None),
        "samples": len(seen.samples),
        "warnings": len(seen.warnings),
    }
