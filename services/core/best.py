"""The best value of each series so far, whichever way its name says is better. Constant memory."""

import math
from collections.abc import Iterable

from services.core.metric_names import direction, is_better, is_held_out
from services.core.metric_places import Metric, series_name

_MAX_SERIES = 64
MOST_BEST = 8


class BestValues:
    """Keeps the best of each series whose name tells which way is better; of the first 64 such series."""

    def __init__(self) -> None:
        self._best: dict[str, Metric] = {}

    def add(self, metrics: Iterable[Metric]) -> bool:
        """Take metrics into account; whether any of them is a new best."""
        is_new = False
        for metric in metrics:
            if not math.isfinite(metric.value):
                continue
            if direction(metric.name) is None:
                continue
            name = series_name(metric)
            known = self._best.get(name)
            if known is None and len(self._best) >= _MAX_SERIES:
                continue
            if known is None or is_better(name, metric.value, known.value):
                self._best[name] = metric
                is_new = True
        return is_new

    def values(self) -> list[Metric]:
        """At most `MOST_BEST` of them, each under its series' name: those of held-out data first."""
        named = [metric._replace(name=name) for name, metric in self._best.items()]
        return sorted(named, key=lambda metric: not is_held_out(metric.name))[:MOST_BEST]
