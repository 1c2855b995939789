"""What the controller tells Prometheus of all runs. Redis is asked at each scrape, so who stands by tells the same."""

import math
import time

from prometheus_client import CollectorRegistry, Gauge

from services.core.catalog import Catalog
from services.core.errors import StoreUnavailable


def count_ready(catalog: Catalog, registry: CollectorRegistry) -> None:
    """Add the runs that wait for a worker; unknown while Redis is away. With the leases of the workers, these are the
    slots that are needed."""

    def ready() -> float:
        try:
            return catalog.ready(time.time())
        except StoreUnavailable:
            return math.nan

    gauge = Gauge("cohort_runs_ready", "Runs that are due and that no worker holds.", registry=registry)
    gauge.set_function(ready)
