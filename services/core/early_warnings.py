"""What somebody should be called for while a training runs, judged by its own history and never by a magnitude alone.

Values and times in, warnings out; constant memory. Each kind is told once, with what was seen and what is usual. A
healthy program gives none.
"""

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from services.core.metric_history import History
from services.core.metric_names import direction, is_held_out
from services.core.metric_places import Metric, series_name
from services.core.observations import Sample

_MAX_SERIES = 128
_BAD_RECORDS = 3
# No progress: so many times the longest pause there was, and at least so long.
_PAUSES = 10.0
_LEAST_SECONDS = 300.0
_LEAST_MOVES = 5
_IDLE_SECONDS = 600.0
_IDLE_PERCENT = 5.0
_BUSY_PERCENT = 20.0
_NEAR = 0.95
_GROWTH = 0.01
_GROWN_SAMPLES = 24


class Kind(StrEnum):
    """What a warning is about."""

    NON_FINITE = "non_finite"
    DIVERGENCE = "divergence"
    PLATEAU = "plateau"
    NO_PROGRESS = "no_progress"
    GPU_IDLE = "gpu_idle"
    MEMORY = "memory"


class EarlyWarning(NamedTuple):
    """One warning: its kind, and in a sentence or two what was seen and what is usual."""

    kind: Kind
    text: str


class Watch:
    """Watches one attempt. Times are seconds of any clock that only goes forward."""

    def __init__(self, memory_limit_bytes: int | None = None) -> None:
        self._told: set[Kind] = set()
        self._series: dict[tuple[str, int | None], History] = {}
        self._shown: dict[str, tuple[int | None, int]] = {}
        self._pace = _Pace()
        self._usage = _Usage(memory_limit_bytes)

    def metrics(self, metrics: Iterable[Metric]) -> list[EarlyWarning]:
        """Take new values of series, in the order of the log."""
        found: list[EarlyWarning] = []
        for metric in metrics:
            history = self._history(metric)
            if history is not None:
                found += self._judged(metric, history)
        return self._new(found)

    def shown(self, metrics: Iterable[Metric]) -> list[EarlyWarning]:
        """Take what bars show just now, which is a record once for each step."""
        found = []
        for metric in metrics:
            name = series_name(metric)
            if direction(name) != "lower" or (name not in self._shown and len(self._shown) >= _MAX_SERIES):
                continue
            step, bad = self._shown.get(name, (None, 0))
            if metric.step == step:
                continue
            bad = 0 if math.isfinite(metric.value) else bad + 1
            self._shown[name] = metric.step, bad
            if bad == _BAD_RECORDS:
                text = f"the bar showed {name[:80]} as {metric.value:g} {_BAD_RECORDS} times in a row{_at(metric)}"
                found.append(EarlyWarning(Kind.NON_FINITE, text))
        return self._new(found)

    def moved(self, now: float) -> None:
        """The program told of something new: a value, or that it is further than it was."""
        self._pace.moved(now)

    def tick(self, now: float) -> list[EarlyWarning]:
        """Time has passed."""
        silence = self._pace.silence(now)
        return self._new([EarlyWarning(Kind.NO_PROGRESS, silence)] if silence else [])

    def sample(self, sample: Sample) -> list[EarlyWarning]:
        """Take what the program used at one moment."""
        return self._new(self._usage.judged(sample))

    def _history(self, metric: Metric) -> History | None:
        way = direction(metric.name)
        name = series_name(metric)
        if way is None or name.lower().startswith("best"):
            return None
        key = (name, metric.rank)
        history = self._series.get(key)
        if history is None and len(self._series) < _MAX_SERIES:
            history = self._series[key] = History(way == "higher")
        return history

    def _judged(self, metric: Metric, history: History) -> list[EarlyWarning]:
        name, found = series_name(metric)[:80], []
        history.add(metric.value, (metric.fold, metric.trial), metric.epoch, metric.step)
        if history.bad_in_a_row == _BAD_RECORDS and (history.count or not history.is_higher_better):
            before = f"; before that it was {history.last_good:.6g}" if history.count else " from the first value on"
            text = f"{name} was {metric.value:g} {_BAD_RECORDS} times in a row{_at(metric)}{before}"
            found.append(EarlyWarning(Kind.NON_FINITE, text))
        # What gets worse on held-out data alone is overfitting: worth reading, not worth waking anybody.
        if not is_held_out(name) and (diverged := history.divergence()):
            found.append(EarlyWarning(Kind.DIVERGENCE, f"{name} {diverged}{_at(metric)}"))
        if flat := history.plateau():
            found.append(EarlyWarning(Kind.PLATEAU, f"{name} {flat}{_at(metric)}"))
        return found

    def _new(self, found: list[EarlyWarning]) -> list[EarlyWarning]:
        new = []
        for warning in found:
            if warning.kind not in self._told:
                self._told.add(warning.kind)
                new.append(warning)
        return new


class _Pace:
    """How long the program usually takes from one sign of progress to the next."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._longest = 0.0
        self._sum = 0.0
        self._moves = 0

    def moved(self, now: float) -> None:
        if self._last is not None:
            pause = now - self._last
            self._longest = max(self._longest, pause)
            self._sum += pause
            self._moves += 1
        self._last = now

    def silence(self, now: float) -> str:
        """What is unusual about the silence since the last sign, '' if nothing is."""
        if self._last is None or self._moves < _LEAST_MOVES:
            return ""
        silent = now - self._last
        if silent < max(_LEAST_SECONDS, _PAUSES * self._longest):
            return ""
        usual = self._sum / self._moves
        return (
            f"no new value and no progress for {silent:.0f} s; usually there is one every {usual:.1f} s, "
            f"and the longest pause was {self._longest:.1f} s"
        )


class _Usage:
    """GPUs and memory over time."""

    def __init__(self, memory_limit_bytes: int | None) -> None:
        self._limit = memory_limit_bytes
        self._idle_since: float | None = None
        self._busiest = 0.0
        self._peaks: dict[str, list[int]] = {}

    def judged(self, sample: Sample) -> list[EarlyWarning]:
        found = []
        used = [gpu.used_percent for gpu in sample.gpu if gpu.used_percent is not None]
        if used:
            found += self._idle(sample.time, max(used))
        for gpu in sample.gpu:
            if gpu.memory_bytes is not None and gpu.memory_total_bytes:
                found += self._memory(f"GPU {gpu.index}", gpu.memory_bytes, gpu.memory_total_bytes)
        if sample.rss_bytes is not None and self._limit:
            found += self._memory("the program", sample.rss_bytes, self._limit)
        return found

    def _idle(self, now: float, percent: float) -> list[EarlyWarning]:
        self._busiest = max(self._busiest, percent)
        if percent >= _IDLE_PERCENT:
            self._idle_since = None
            return []
        self._idle_since = now if self._idle_since is None else self._idle_since
        # A GPU that was never at work may not be wanted yet: data are prepared, a model is loaded.
        if self._busiest < _BUSY_PERCENT or now - self._idle_since < _IDLE_SECONDS:
            return []
        text = f"no GPU was used more than {_IDLE_PERCENT:g} % for {now - self._idle_since:.0f} s; "
        return [EarlyWarning(Kind.GPU_IDLE, f"{text}before that up to {self._busiest:.0f} %")]

    def _memory(self, whose: str, used: int, limit: int) -> list[EarlyWarning]:
        """Near the limit and still growing: allocators that keep what they have are near it and stay there."""
        last = self._peaks.setdefault(whose, [])
        last.append(used)
        if len(last) > _GROWN_SAMPLES:
            del last[0]
        if used < _NEAR * limit or len(last) < _GROWN_SAMPLES or used - last[0] < _GROWTH * limit:
            return []
        mebibyte = 1 << 20
        return [
            EarlyWarning(
                Kind.MEMORY,
                f"{whose} uses {used / mebibyte:.0f} of {limit / mebibyte:.0f} MiB of memory and needs more and more: "
                f"{last[0] / mebibyte:.0f} MiB {_GROWN_SAMPLES - 1} samples ago",
            )
        ]


def _at(metric: Metric) -> str:
    at = [f"epoch {metric.epoch:g}"] if metric.epoch is not None else []
    at += [f"step {metric.step}"] if metric.step is not None else []
    return f" (at {' '.join(at)})" if at else ""
