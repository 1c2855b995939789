"""The program's metrics and its progress, as the API wants them, out of the log's bytes in order."""

import time
from collections.abc import Iterable

from pydantic import ValidationError

from services.core import series
from services.core.best import BestValues
from services.core.early_warnings import EarlyWarning, Watch
from services.core.metric_places import series_name
from services.core.notes import Best
from services.core.observations import Metric, Progress, Sample, Warned

_LEAST_ETA_SECONDS = 5.0


class MetricReader:
    """Reads one log from its start. The same bytes give the same metrics in the same order, however they are cut.

    `memory_limit_bytes` is what the program may use, if it is known.
    """

    def __init__(self, memory_limit_bytes: int | None = None) -> None:
        self._parser = series.SeriesParser()
        self._best = BestValues()
        self._watch = Watch(memory_limit_bytes)
        self._warnings: list[EarlyWarning] = []
        self._pace: tuple[float, float] | None = None
        self._progress: series.Progress | None = None
        self._is_new = False

    def feed(self, data: bytes) -> list[Metric]:
        """The metrics that `data` completes."""
        return self._told(self._parser.feed(data))

    def finish(self) -> list[Metric]:
        """What is left when the log is over."""
        return self._told(self._parser.finish())

    def progress(self, now: float) -> Progress | None:
        """How far the program is and its best values, if either has changed since the last call. `now` is seconds of a
        clock that only goes forward; where the program does not say how long it will take, its pace so far does.
        """
        found = self._parser.progress()
        if found is not None and found != self._progress:
            self._progress, self._is_new = found, True
            self._watch.moved(now)
        if not self._is_new:
            return None
        self._is_new = False
        best = _best(self._best)
        if self._progress is None:
            return Progress(best=best)
        fraction = self._progress.fraction
        return Progress(
            fraction=fraction, text=self._progress.text, eta_seconds=self._eta(self._progress, now), best=best
        )

    def moved(self, now: float) -> None:
        """New values have just been printed."""
        self._watch.moved(now)

    def warnings(self, now: float, samples: Iterable[Sample] = ()) -> list[Warned]:
        """What somebody should know now, each once. `samples` are those taken since the last call."""
        found = [*self._warnings, *self._watch.shown(self._parser.running()), *self._watch.tick(now)]
        self._warnings = []
        for sample in samples:
            found += self._watch.sample(sample)
        return [Warned(kind=warning.kind, text=warning.text) for warning in found]

    def _told(self, metrics: list[series.Metric]) -> list[Metric]:
        if metrics:
            self._is_new = self._best.add(metrics) or self._is_new
            self._warnings += self._watch.metrics(metrics)
        return _as_told(metrics)

    def _eta(self, told: series.Progress, now: float) -> float | None:
        if self._pace is None or told.fraction < self._pace[1]:
            self._pace = now, told.fraction
        if told.eta_seconds is not None:
            return told.eta_seconds
        since, fraction = self._pace
        gained, passed = told.fraction - fraction, now - since
        if gained <= 0 or passed < _LEAST_ETA_SECONDS:
            return None
        return round((1 - told.fraction) * passed / gained, 1)


def _best(values: BestValues) -> tuple[Best, ...]:
    return tuple(
        Best(name=metric.name, value=metric.value, step=metric.step, epoch=metric.epoch) for metric in values.values()
    )


def _as_told(metrics: Iterable[series.Metric]) -> list[Metric]:
    now = time.time()
    told = []
    for metric in metrics:
        try:
            told.append(
                Metric(
                    name=series_name(metric),
                    value=metric.value,
                    step=metric.step,
                    epoch=metric.epoch,
                    rank=metric.rank,
                    time=now,
                )
            )
        except ValidationError:
            # A step of twenty digits is no step. The same metric is left out at every reading, so numbers stay true.
            continue
    return told
