"""Series summed up: where each began, its extremes, where it ended, where it first was no number. Constant memory."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from services.core.metric_places import Metric, series_name

_MAX_SERIES = 500


@dataclass
class Summary:
    """One series. The extremes are among finite values and None if there were none; `bad` is NaN or infinite."""

    first: Metric
    last: Metric
    low: Metric | None = None
    high: Metric | None = None
    bad: Metric | None = None
    count: int = 0

    def add(self, metric: Metric) -> None:
        """Take one more value into account."""
        self.count += 1
        self.last = metric
        if not math.isfinite(metric.value):
            self.bad = self.bad or metric
            return
        if self.low is None or metric.value < self.low.value:
            self.low = metric
        if self.high is None or metric.value > self.high.value:
            self.high = metric


class MetricTable:
    """Summaries by name, in order of first appearance. Of more than 500 names only the count is kept."""

    def __init__(self) -> None:
        self.series: dict[str, Summary] = {}
        self.left_out: int = 0

    def add(self, metrics: Iterable[Metric]) -> None:
        """Take metrics into account, in the order of the log."""
        for metric in metrics:
            name = series_name(metric)
            name = name if metric.rank is None else f"{name}[rank {metric.rank}]"
            summary = self.series.get(name)
            if summary is None:
                if len(self.series) >= _MAX_SERIES:
                    self.left_out += 1
                    continue
                summary = self.series[name] = Summary(metric, metric)
            summary.add(metric)

    def rows(self) -> list[str]:
        """One line for each series; those that went bad first, then losses, then the rest."""
        names = sorted(self.series, key=lambda name: (self.series[name].bad is None, "loss" not in name.lower()))
        return [_row(name, self.series[name]) for name in names]


def _row(name: str, series: Summary) -> str:
    cells = [f"{name}: {series.count} values, first {_cell(series.first)}"]
    if series.low is not None and series.high is not None and series.low.value != series.high.value:
        cells += [f"min {_cell(series.low)}", f"max {_cell(series.high)}"]
    cells.append(f"last {_cell(series.last)}")
    if series.bad is not None:
        cells.append(f"NOT FINITE from {_cell(series.bad)}")
    return ", ".join(cells)


def _cell(metric: Metric) -> str:
    at = [f"epoch {metric.epoch:g}"] if metric.epoch is not None else []
    at += [f"step {metric.step}"] if metric.step is not None else []
    return f"{metric.value:.6g}" + (f" ({' '.join(at)})" if at else "")
