"""One process's registry, made once where the process is put together, and passed down. The door to Prometheus."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST as CONTENT_TYPE,
    CollectorRegistry,
    Counter as Counter,
    Gauge as Gauge,
    GCCollector,
    Histogram as Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.core.monitoring.series import Kind, Series, gauge
from services.core.version import VERSION

__all__ = ["CONTENT_TYPE", "Counter", "Gauge", "Histogram", "Reading", "Registry", "Starts"]

BUILD_INFO = gauge("cohort_build_info", "1, with the service and the version of this process.", "service", "version")

Reading = Mapping[Series, Iterable[tuple[Sequence[str], float]]]
"""Values by series, each with its labels' values: what a source knows at the moment it is asked."""

Starts = Iterable[Sequence[str]]
"""Values of the labels that are there from the start, at 0: so a first count is seen as a rise."""

I = TypeVar("I", Counter, Gauge, Histogram)  # noqa: E741, an instrument


class Registry:
    """The series of one process: those of Cohort, and what is known of any process (`process_…`, `python_gc_…`)."""

    def __init__(self, service: str) -> None:
        self.service = service
        # Else each counter brings a second series, which says since when it is there.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._declared: dict[str, Series] = {}
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self.gauge(BUILD_INFO).labels(service, VERSION).set(1)

    @property
    def declared(self) -> Sequence[Series]:
        """Every series of Cohort's that this process has, whether it has values or not."""
        return tuple(self._declared.values())

    def counter(self, series: Series, starts: Starts = ()) -> Counter:
        made = Counter(series.name, series.meaning, series.labels, registry=None)
        return self._made(series, Kind.COUNTER, made, starts)

    def gauge(self, series: Series, starts: Starts = ()) -> Gauge:
        made = Gauge(series.name, series.meaning, series.labels, registry=None)
        return self._made(series, Kind.GAUGE, made, starts)

    def histogram(self, series: Series, starts: Starts = ()) -> Histogram:
        made = Histogram(series.name, series.meaning, series.labels, buckets=series.buckets, registry=None)
        return self._made(series, Kind.HISTOGRAM, made, starts)

    def read(self, series: Sequence[Series], source: Callable[[], Reading]) -> None:
        """Ask `source` for the values of `series` at each scrape. One that it leaves out has none then."""
        for one in series:
            self._declare(one)
        self._registry.register(_Source(series, source))

    def text(self) -> bytes:
        """All values, in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

    def value(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """One value as a scrape would bring it; None where there is none. For tests."""
        return self._registry.get_sample_value(name, dict(labels or {}))

    def _made(self, series: Series, kind: Kind, instrument: I, starts: Starts) -> I:
        if series.kind is not kind:
            raise ValueError(f"{series.name} is a {series.kind}")
        self._declare(series)
        self._registry.register(instrument)
        for values in starts:
            instrument.labels(*values)
        return instrument

    def _declare(self, series: Series) -> None:
        self._declared[series.name] = series


class _Source(Collector):
    """What is read when it is asked for."""

    def __init__(self, series: Sequence[Series], source: Callable[[], Reading]) -> None:
        self._series = series
        self._source = source

    def describe(self) -> Iterable[Metric]:
        return [_family(one) for one in self._series]

    def collect(self) -> Iterable[Metric]:
        found = self._source()
        for series in self._series:
            family = _family(series)
            for labels, value in found.get(series, ()):
                family.add_metric(labels, value)
            yield family


def _family(series: Series) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if series.kind is Kind.COUNTER else GaugeMetricFamily
    return kind(series.name, series.meaning, labels=series.labels)
