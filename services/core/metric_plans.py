"""Reading lines of one form many times: the styles look at the first, the rest is filling in numbers.

A training log is a few forms of lines, repeated. What the styles find in a form does not depend on its numbers, so they
are run once on the form with marked numbers, and where the marks come out is the plan for every later line.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from services.core.metric_styles import Metric, finite, whole

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)")
_FIRST_MARK = 100
_MAX_MARKS = 800
_MAX_PLANS = 2_000
_MAX_FORM = 1_000

T = TypeVar("T", int, float)

Read = Callable[[str], list[Metric]]


@dataclass(frozen=True)
class Mark:
    """Stands for the number at this position of the line."""

    position: int


class Plan(NamedTuple):
    """The metrics of a form; all have the same coordinates. What is no mark is the same on every line of the form."""

    series: tuple[tuple[str, Mark | float], ...]
    step: Mark | int | None
    epoch: Mark | float | None
    rank: Mark | int | None
    split: str | None


class Plans:
    """Remembers forms. Gives what `read` gives, only faster; what it cannot promise that for it leaves to `read`."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._plans: dict[str, Plan | None] = {}
        self._once: set[str] = set()

    def metrics(self, text: str) -> list[Metric]:
        """The metrics in a clean line."""
        form = _NUMBER.sub("\0", text) if len(text) <= _MAX_FORM else text
        if form in self._plans:
            plan = self._plans[form]
            filled = _fill(plan, _NUMBER.findall(text)) if plan else None
            return self._read(text) if filled is None else filled
        found = self._read(text)
        if len(self._plans) < _MAX_PLANS and len(text) <= _MAX_FORM:
            self._remember(form, text, found)
        return found

    def _remember(self, form: str, text: str, found: list[Metric]) -> None:
        """Keep a plan for a form that is seen a second time."""
        if form not in self._once:
            if len(self._once) >= _MAX_PLANS:
                self._once.clear()
            self._once.add(form)
            return
        self._once.discard(form)
        plan = self._plan(text)
        filled = _fill(plan, _NUMBER.findall(text)) if plan else None
        # A form whose numbers are part of names, or that a style reads by its numbers after all, shows here. NaN is
        # compared by how it is written.
        self._plans[form] = plan if filled is not None and repr(filled) == repr(found) else None

    def _plan(self, text: str) -> Plan | None:
        count = 0

        def mark(number: re.Match[str]) -> str:
            nonlocal count
            count += 1
            sign = number[0][0] if number[0][0] in "+-" else ""
            return f"{sign}{_FIRST_MARK + count - 1}" + ("" if number[0].lstrip("+-").isdigit() else ".5")

        found = self._read(_NUMBER.sub(mark, text))
        if count > _MAX_MARKS or any(metric[2:] != found[0][2:] for metric in found):
            return None
        series = tuple((metric.name, _unmark(metric.value, count)) for metric in found)
        if not found:
            return Plan(series, None, None, None, None)
        step, epoch, rank, split = found[0][2:]
        return Plan(
            series,
            None if step is None else _unmark(step, count),
            None if epoch is None else _unmark(epoch, count),
            None if rank is None else _unmark(rank, count),
            split,
        )


def _unmark(value: T, count: int) -> Mark | T:
    """The mark that a number found in a marked line is, or the number itself if it was there before."""
    index = int(abs(value)) - _FIRST_MARK if math.isfinite(value) else -1
    return Mark(index) if 0 <= index < count else value


def _fill(plan: Plan, numbers: list[str]) -> list[Metric] | None:
    """The metrics of a line; None if a coordinate is out of any range, which `read` may understand otherwise."""
    step, epoch, rank = plan.step, plan.epoch, plan.rank
    if isinstance(step, Mark):
        step = whole(float(numbers[step.position]))
    if isinstance(epoch, Mark):
        epoch = finite(float(numbers[epoch.position]))
    if isinstance(rank, Mark):
        rank = whole(float(numbers[rank.position]))
    if (step is None, epoch is None, rank is None) != (plan.step is None, plan.epoch is None, plan.rank is None):
        return None
    return [
        Metric(name, float(numbers[at.position]) if isinstance(at, Mark) else at, step, epoch, rank, plan.split)
        for name, at in plan.series
    ]
