"""Reading lines of one form many times: the styles look at the first, the rest is filling in numbers.

A training log is a few forms of lines, repeated. What the styles find in a form does not depend on its numbers, so they
are run once on the form with marked numbers, and where the marks come out is the plan for every later line.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from services.core.metric_places import Place, finite, whole
from services.core.metric_styles import Reading, Value

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)")
_FIRST_MARK = 100
_MAX_MARKS = 800
_MAX_PLANS = 2_000
_MAX_FORM = 2_000

T = TypeVar("T", int, float)

Read = Callable[[str], Reading]


@dataclass(frozen=True)
class Mark:
    """Stands for the number at this position of the line."""

    position: int


class Plan(NamedTuple):
    """What lines of a form tell. What is no mark is the same on every line of the form."""

    series: tuple[tuple[str, Mark | float, str | None], ...]
    step: Mark | int | None
    epoch: Mark | float | None
    rank: Mark | int | None
    split: str | None
    fold: Mark | int | None
    trial: Mark | int | None


class Plans:
    """Remembers forms. Gives what `read` gives, only faster; what it cannot promise that for it leaves to `read`."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._plans: dict[str, Plan | None] = {}
        self._once: set[str] = set()

    def read(self, text: str) -> Reading:
        """What a clean line tells."""
        if len(text) > _MAX_FORM:
            return self._read(text)
        form = _NUMBER.sub("\0", text)
        if form in self._plans:
            plan = self._plans[form]
            filled = fill(plan, _NUMBER.findall(text)) if plan else None
            return self._read(text) if filled is None else filled
        found = self._read(text)
        if len(self._plans) < _MAX_PLANS:
            self._remember(form, text, found)
        return found

    def plan(self, text: str) -> Plan | None:
        """The plan that a clean line's form has by now, if it has one."""
        return self._plans.get(_NUMBER.sub("\0", text)) if len(text) <= _MAX_FORM else None

    def _remember(self, form: str, text: str, found: Reading) -> None:
        """Keep a plan for a form that is seen a second time."""
        if form not in self._once:
            if len(self._once) >= _MAX_PLANS:
                self._once.clear()
            self._once.add(form)
            return
        self._once.discard(form)
        plan = self._planned(text)
        filled = fill(plan, _NUMBER.findall(text)) if plan else None
        # A form whose numbers are part of names, or that a style reads by its numbers after all, shows here. NaN is
        # compared by how it is written.
        self._plans[form] = plan if filled is not None and repr(filled) == repr(found) else None

    def _planned(self, text: str) -> Plan | None:
        count = 0

        def mark(number: re.Match[str]) -> str:
            nonlocal count
            count += 1
            sign = number[0][0] if number[0][0] in "+-" else ""
            return f"{sign}{_FIRST_MARK + count - 1}" + ("" if number[0].lstrip("+-").isdigit() else ".5")

        place, values = self._read(_NUMBER.sub(mark, text))
        if count > _MAX_MARKS:
            return None
        return Plan(
            tuple((name, _unmark(value, count), unit) for name, value, unit in values),
            None if place.step is None else _unmark(place.step, count),
            None if place.epoch is None else _unmark(place.epoch, count),
            None if place.rank is None else _unmark(place.rank, count),
            place.split,
            None if place.fold is None else _unmark(place.fold, count),
            None if place.trial is None else _unmark(place.trial, count),
        )


def number_spans(text: str) -> list[tuple[int, int]]:
    """Where the numbers stand that `fill` is given the texts of."""
    return [number.span() for number in _NUMBER.finditer(text)]


def _unmark(value: T, count: int) -> Mark | T:
    """The mark that a number found in a marked line is, or the number itself if it was there before."""
    index = int(abs(value)) - _FIRST_MARK if math.isfinite(value) else -1
    return Mark(index) if 0 <= index < count else value


def fill(plan: Plan, numbers: list[str]) -> Reading | None:
    """What a line tells; None if a coordinate is out of any range, which the styles may understand otherwise."""
    series, step, epoch, rank, split, fold, trial = plan
    if isinstance(step, Mark):
        step = whole(float(numbers[step.position]))
    if isinstance(epoch, Mark):
        epoch = finite(float(numbers[epoch.position]))
    if isinstance(rank, Mark):
        rank = whole(float(numbers[rank.position]))
    if isinstance(fold, Mark):
        fold = whole(float(numbers[fold.position]))
    if isinstance(trial, Mark):
        trial = whole(float(numbers[trial.position]))
    place = Place(step, epoch, rank, split, fold, trial)
    if any((a is None) != (b is None) for a, b in zip(place, plan[1:], strict=True)):
        return None
    return Reading(
        place,
        tuple(
            [
                Value(name, float(numbers[at.position]) if isinstance(at, Mark) else at, unit)
                for name, at, unit in series
            ]
        ),
    )
