"""The history of one series, as much of it as it takes to tell whether it diverges or stands still. Constant memory."""

import math
from collections import deque

_WINDOW = 5
_LEAST = 15
# Beyond noise: so many times the usual change from one value to the next.
_NOISES = 6.0
# Of an epoch each; single steps say little, and warm up.
_STUCK_RECORDS = 30
_STUCK_STEPS = 500
_STUCK_SHARE = 0.01
_NOISE_MEMORY = 0.1
_SAME_ORDER = 10.0
_TIMES = 3.0

Where = tuple[int | None, int | None]


class History:
    """Values of one series in the order in which they came, of one training: a new fold, a new trial or an epoch that
    went back begins another. Of a series where higher is better the signs are turned, so that lower always is."""

    def __init__(self, is_higher_better: bool) -> None:
        self.is_higher_better = is_higher_better
        self.bad_in_a_row = 0
        self.last_good = math.nan
        self._where: Where = (None, None)
        self._epoch: float | None = None
        self._step: int | None = None
        self._begin()

    def _begin(self) -> None:
        self.count = 0
        self._window: deque[float] = deque(maxlen=_WINDOW)
        self._first: list[float] = []
        self._noise = 0.0
        self._best = math.inf
        self._best_at = 0

    def add(self, value: float, where: Where, epoch: float | None, step: int | None) -> None:
        """Take the next value. `where` is which fold and which trial it belongs to."""
        if where != self._where or self._went_back(epoch, step):
            self._begin()
        self._where, self._epoch, self._step = where, epoch, step
        if not math.isfinite(value):
            self.bad_in_a_row += 1
            return
        self.bad_in_a_row = 0
        self.last_good = value
        value = -value if self.is_higher_better else value
        if self._window:
            self._noise = self._noise_after(abs(value - self._window[-1]))
        self.count += 1
        self._window.append(value)
        if len(self._first) < _WINDOW:
            self._first.append(value)
        level = sorted(self._window)[len(self._window) // 2]
        if self.count >= 3 and level < self._best:
            self._best, self._best_at = level, self.count

    def divergence(self) -> str:
        """What shows that it left for good what it had reached, '' if nothing does.

        All of the last five values are above any of the first five, by more than the usual change from one value to
        the next and by half of what it had gained before.
        """
        if self.count < _LEAST or self.is_higher_better:
            return ""
        start, lowest = max(self._first), min(self._window)
        gain = start - self._best
        if gain > _NOISES / 2 * self._noise:
            is_up = lowest > start + max(gain / 2, _NOISES * self._noise)
        else:
            # It never came down. Where it began must be a level, then, and not a number that happens to be near zero.
            is_level = min(self._first) > 0 and start < _SAME_ORDER * min(self._first)
            is_up = is_level and lowest > _TIMES * start + _NOISES * self._noise
        if not is_up:
            return ""
        return (
            f"went up to {self._window[-1]:.6g} and stayed there: its last {_WINDOW} values are all above "
            f"{lowest:.6g}; it began at {self._first[0]:.6g} and had come down to {self._best:.6g}"
        )

    def plateau(self) -> str:
        """What shows that it does not learn, '' if nothing does: hardly any change in many records since the first."""
        if self.count != (_STUCK_RECORDS if self._step is None else _STUCK_STEPS):
            return ""
        start = sorted(self._first)[len(self._first) // 2]
        gain = start - self._best
        if gain > _STUCK_SHARE * abs(start) or not start:
            return ""
        sign = -1 if self.is_higher_better else 1
        return (
            f"has hardly changed in {self.count} values: it began at {sign * start:.6g} and its best level is "
            f"{sign * self._best:.6g}"
        )

    def _noise_after(self, change: float) -> float:
        """The usual change with one more. What is far from usual counts as little more than usual."""
        if self.count < 2:
            return change
        if self.count > _WINDOW:
            change = min(change, _NOISES * self._noise)
        return self._noise + (change - self._noise) * _NOISE_MEMORY

    def _went_back(self, epoch: float | None, step: int | None) -> bool:
        if epoch is not None and self._epoch is not None and epoch != self._epoch:
            return epoch < self._epoch
        return step is not None and self._step is not None and step < self._step and epoch is None
