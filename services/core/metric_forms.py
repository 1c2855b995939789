"""Reading lines of one form many times by where the numbers stand: the fastest way, for lines of plain ASCII.

A form here is a line with its digits masked, so that every number of a form stands at the same place. `metric_plans`
knows which number means what; this adds where it is.
"""

import re
from typing import TypeVar

from services.core.metric_places import Place, finite, whole
from services.core.metric_plans import Mark, Plan, Plans, Read, number_spans
from services.core.metric_styles import NOTHING, Reading, Value

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_RUN = re.compile(r"\d+")
_MAX_FORMS = 20_000

Span = tuple[int, int]
N = TypeVar("N", int, float)


def _fixed(part: Mark | N | None) -> N | None:
    """What stands there on every line of the form; None where the lines differ."""
    return None if isinstance(part, Mark) else part


class _Layout:
    """Where in the bytes of a form's lines the numbers are that matter."""

    __slots__ = ("fixed", "numbers", "place", "values")

    def __init__(self, plan: Plan, spans: list[Span]) -> None:
        self.values = [
            (name, *spans[at.position], unit, 0.0) if isinstance(at, Mark) else (name, -1, -1, unit, at)
            for name, at, unit in plan.series
        ]
        self.place = [
            spans[part.position] if isinstance(part, Mark) else None
            for part in (plan.step, plan.epoch, plan.rank, plan.fold, plan.trial)
        ]
        self.fixed = Place(
            _fixed(plan.step), _fixed(plan.epoch), _fixed(plan.rank), plan.split, _fixed(plan.fold), _fixed(plan.trial)
        )

    def fill(self, line: bytes) -> Reading | None:
        step, epoch, rank, fold, trial = self.place
        place = self.fixed
        if step or epoch or rank or fold or trial:
            place = Place(
                whole(float(line[step[0] : step[1]])) if step else place.step,
                finite(float(line[epoch[0] : epoch[1]])) if epoch else place.epoch,
                whole(float(line[rank[0] : rank[1]])) if rank else place.rank,
                place.split,
                whole(float(line[fold[0] : fold[1]])) if fold else place.fold,
                whole(float(line[trial[0] : trial[1]])) if trial else place.trial,
            )
            if (step and place.step is None) or (epoch and place.epoch is None) or (rank and place.rank is None):
                return None
            if (fold and place.fold is None) or (trial and place.trial is None):
                return None
        return Reading(
            place,
            tuple(
                [
                    Value(name, float(line[start:end]) if start >= 0 else at, unit)
                    for name, start, end, unit, at in self.values
                ]
            ),
        )


class _Form:
    """Lines of one form: by the digits that are part of words, as in `top5`, which make other lines of them."""

    __slots__ = ("layouts", "words")

    def __init__(self, words: list[Span]) -> None:
        self.words = words
        self.layouts: dict[bytes, _Layout | None] = {}

    def kind(self, line: bytes) -> bytes:
        return b" ".join([line[start:end] for start, end in self.words]) if self.words else b""


class Forms:
    """Remembers the forms of lines. Gives what `read` gives, only faster."""

    def __init__(self, read: Read) -> None:
        self._plans = Plans(read)
        self._forms: dict[bytes, _Form] = {}
        self._count = 0

    def filled(self, line: bytes) -> Reading | None:
        """What a line tells; None if its form is not known, or not fit for this."""
        try:
            form = self._forms[line.translate(_DIGITS)]
            layout = form.layouts[form.kind(line)]
        except KeyError:
            return None
        return NOTHING if layout is None else layout.fill(line)

    def read(self, text: str, line: bytes) -> Reading:
        """What a clean line tells. `line` are its bytes as they came."""
        found = self._plans.read(text)
        plan = self._plans.plan(text)
        if plan is not None and len(text) == len(line) and self._count < _MAX_FORMS and text.isascii():
            self._count += 1
            spans = number_spans(text)
            is_dull = not plan.series and found == NOTHING
            form = self._forms.setdefault(line.translate(_DIGITS), _Form(_digits_of_words(text, spans)))
            form.layouts[form.kind(line)] = None if is_dull else _Layout(plan, spans)
        return found


def _digits_of_words(text: str, numbers: list[Span]) -> list[Span]:
    """Where digits stand that belong to no number."""
    starts = {start for first, last in numbers for start in range(first, last)}
    return [found.span() for found in _RUN.finditer(text) if found.start() not in starts]
