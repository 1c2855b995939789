"""The program's metrics and its progress, as the API wants them, out of the log's bytes in order."""

import time
from collections import deque
from collections.abc import Iterable

from pydantic import ValidationError

from services.core import series
from services.core.loglines import LogLine, LogLines, clean
from services.core.observations import Metric, Progress

# A program that says how far it is says so often: older lines than these are not asked.
_RECENT_LINES = 20


class MetricReader:
    """Reads one log from its start. The same bytes give the same metrics in the same order, however they are cut."""

    def __init__(self) -> None:
        self._lines = LogLines()
        self._parser = series.SeriesParser()
        self._recent: deque[str] = deque(maxlen=_RECENT_LINES)

    def feed(self, data: bytes) -> list[Metric]:
        """The metrics that `data` completes."""
        return _as_told([metric for line in self._lines.feed(data) for metric in self._read(line)])

    def finish(self) -> list[Metric]:
        """What is left when the log is over."""
        left = [metric for line in self._lines.finish() for metric in self._read(line)]
        return _as_told([*left, *self._parser.finish()])

    def progress(self) -> Progress | None:
        """How far the program said it is in the lines since the last call; None if it said nothing."""
        while self._recent:
            text = self._recent.pop()
            found = series.progress(clean(text))
            if found is not None:
                self._recent.clear()
                return Progress(fraction=found.fraction, text=found.text)
        return None

    def _read(self, line: LogLine) -> list[series.Metric]:
        self._recent.append(line.text)
        return self._parser.read(line)


def _as_told(metrics: Iterable[series.Metric]) -> list[Metric]:
    now = time.time()
    told = []
    for metric in metrics:
        try:
            told.append(
                Metric(
                    name=_name(metric),
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


def _name(metric: series.Metric) -> str:
    """Training and validation loss are two series: a split that stands beside the name becomes part of it."""
    return f"{metric.split}/{metric.name}" if metric.split else metric.name
