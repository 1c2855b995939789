"""What a controller process counts of its own, for Prometheus. What it reads of all runs is in `figures`."""

import time

from services.core.monitoring.instruments import Registry
from services.core.monitoring.series import MOMENTS, counter, gauge, histogram

LEADING = gauge("cohort_controller_leading", "1 where this process leads, 0 where it stands by.")
ROUND_SECONDS = histogram(
    "cohort_controller_round_seconds", "How long a whole round took.", buckets=(*MOMENTS, 120, 300, 600)
)
ROUND_AGE_SECONDS = gauge(
    "cohort_controller_round_age_seconds",
    "Since when this process has led without coming to the end of a round; 0 where it stands by.",
)
SWEPT = counter("cohort_swept_runs_total", "Runs that were due and that the sweeper named to the workers.")
ARCHIVED = counter("cohort_archived_runs_total", "Runs that ended and were written to the archive.")
ARCHIVE_FAILURES = counter("cohort_archive_failures_total", "Runs that could not be archived, each time.")
ORPHANS = counter(
    "cohort_orphans_removed_total",
    "Executions ended that no run counted on: `closed`, their attempt was over; `unknown`, nobody knows their run.",
    "kind",
)

CLOSED, UNKNOWN = "closed", "unknown"


class ControllerMetrics:
    """One controller's own series, in its process's registry."""

    def __init__(self, registry: Registry | None = None) -> None:
        registry = registry or Registry("controller")
        self._rounded: float | None = None
        self._round_seconds = registry.histogram(ROUND_SECONDS)
        registry.gauge(LEADING).set_function(lambda: float(self._rounded is not None))
        registry.gauge(ROUND_AGE_SECONDS).set_function(self._round_age)
        self.swept = registry.counter(SWEPT)
        self.archived = registry.counter(ARCHIVED)
        self.archive_failures = registry.counter(ARCHIVE_FAILURES)
        self.orphans = registry.counter(ORPHANS, [(CLOSED,), (UNKNOWN,)])

    def leads(self) -> None:
        """This process leads, of late or for long."""
        if self._rounded is None:
            self._rounded = time.monotonic()

    def stands_by(self) -> None:
        """Another process leads, or may do so."""
        self._rounded = None

    def rounded(self, seconds: float) -> None:
        """A round is over, and took so long."""
        self._rounded = time.monotonic()
        self._round_seconds.observe(seconds)

    def _round_age(self) -> float:
        rounded = self._rounded
        return 0.0 if rounded is None else time.monotonic() - rounded
