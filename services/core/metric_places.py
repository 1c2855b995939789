"""Where a line's metrics belong: epoch, step, rank, fold, trial and the part of the data, as the line says them.

Pure functions on a clean line. All repetition in the patterns is bounded: no line can make them slow.
"""

import re
from typing import NamedTuple

from services.core.metric_names import SPLIT_WORD, split_of, words_of

_MAX_STEP = 2**53


class Metric(NamedTuple):
    """One value of a series as the program printed it, percentages too, with the coordinates that stood near it.

    `step` is whatever counts within the training: step, iteration, update, batch, episode. `split` is the part of the
    data if the line says it, `unit` what was printed behind the number.
    """

    name: str
    value: float
    step: int | None = None
    epoch: float | None = None
    rank: int | None = None
    split: str | None = None
    fold: int | None = None
    trial: int | None = None
    unit: str | None = None


def series_name(metric: Metric) -> str:
    """The name of the series: one of validation is another than the one of training, though both are called `loss`."""
    if metric.split is None or metric.split == "train" or metric.split in words_of(metric.name):
        return metric.name
    return f"{metric.split}_{metric.name}"


class Place(NamedTuple):
    """The coordinates that a line gives, in the order in which `Metric` has them."""

    step: int | None = None
    epoch: float | None = None
    rank: int | None = None
    split: str | None = None
    fold: int | None = None
    trial: int | None = None

    def over(self, other: "Place") -> "Place":
        """These coordinates, and of the other place those that are missing."""
        return Place(
            self.step if self.step is not None else other.step,
            self.epoch if self.epoch is not None else other.epoch,
            self.rank if self.rank is not None else other.rank,
            self.split if self.split is not None else other.split,
            self.fold if self.fold is not None else other.fold,
            self.trial if self.trial is not None else other.trial,
        )

    @property
    def is_known(self) -> bool:
        """Whether it says when in the training it is, or of which of several."""
        return self.step is not None or self.epoch is not None or self.fold is not None or self.trial is not None


_COUNT = r"(\d{1,3}(?:,\d{3}){1,4}(?!\d)|\d{1,40})"
_OF = r"(?:\s{0,4}(?:/|of)\s{0,8}\d{1,40})?"
_GAP = r"[\s:=#-]{0,12}[\[(]?\s{0,8}"
_NOT_STEP = r"(?![\d.]*%|\.?\d|\s?(?:ms|us|s|sec|it/s)\b|:\d)"
_EPOCH = re.compile(
    rf"(?<![A-Za-z_])(?<!s/)(?:(?P<split>{SPLIT_WORD})[ _])?epochs?(?:_num)?"
    rf"(?:\s?\((?P<in>train|val|test)\))?(?<!epochs)"
    rf"[\s:=#_-]{{0,40}}[\[(]?\s{{0,8}}(?P<number>\d{{1,40}}(?:\.\d{{1,40}})?)(?!\d|\s?m?s\b){_OF}\s{{0,4}}[\])]?"
    rf"(?:\s?:\s{{1,8}}(?P<step>\d{{1,40}})\s{{0,4}}/\s{{0,4}}\d{{1,40}}(?!\S))?",
    re.IGNORECASE,
)
_EP = re.compile(r"(?<![A-Za-z_])ep(?:\.|\b)[\s:=#]{1,4}(\d{1,40})|(?<![\w.])(\d{1,40})epoch\b", re.IGNORECASE)
_STEP_WORDS = (
    *("global_step", "global step", "step", "iteration", "iter", "num_updates", "total_timesteps", "timestep"),
    *("num_timesteps", "iters", "update", "up", "batch", "round", "episode", "it"),
)
_STEP = re.compile(
    r"(?<![A-Za-z_])(?P<word>global[_ ]step|steps?(?=[:=])|step|iteration|iters?(?=[:=])|iter"
    r"|num_updates|(?:total_|num_)?timesteps?|update|batch|round"
    rf"|episode|up(?=\.)|it(?=\s?[:=#\[]))(?:\s?\((?:train|val|test)\))?\.?{_GAP}{_COUNT}{_OF}{_NOT_STEP}\s{{0,4}}[\])]?",
    re.IGNORECASE,
)
_COUNTED = re.compile(rf"(?<![\d.]){_COUNT}\s?/\s{{0,8}}\d{{1,40}}\s(?:batches|steps|iters|iterations)\b")
_TWO_BRACKETS = re.compile(
    r"\[\s{0,8}(\d{1,40})(?:/\s{0,8}\d{1,40})?\]\s{0,4}\[\s{0,8}(\d{1,40})(?:/\s{0,8}\d{1,40})?\]"
)
_PAIR_BRACKET = re.compile(r"^\s{0,8}\[(\d{1,40}),\s{0,8}(\d{1,40})\]")
_OF_BRACKET = re.compile(r"\[\s{0,8}(\d{1,40})\s?/\s{0,8}\d{1,40}(?:\s{0,4}\(\s{0,4}[\d.]{1,8}%\))?\]")
_FIRST_BRACKET = re.compile(r"^\s{0,8}\[\s{0,8}(\d{1,40})(/\s{0,8}\d{1,40})?\]")
_SPLIT_COUNT = re.compile(rf"^\W{{0,4}}{SPLIT_WORD}:\s(\d{{1,40}})\s(?=\[)", re.IGNORECASE)
_LEADING = re.compile(r"^\s{0,8}(\d{1,40}):(?=\s)")
_RANK = re.compile(r"(?<![A-Za-z])(?:local_|global_)?rank[\s:=_-]{0,3}(\d{1,40})(?!\d)\]?:?", re.IGNORECASE)
_FOLD = re.compile(
    rf"(?<![A-Za-z_])(?:k-?)?fold{_GAP}(\d{{1,40}}){_OF}[\])]?|\[CV (\d{{1,40}})/\d{{1,40}}\]", re.IGNORECASE
)
_TRIAL = re.compile(rf"(?<![A-Za-z])trial{_GAP}(\d{{1,40}}){_OF}[\])]?", re.IGNORECASE)
_SPLIT = re.compile(rf"^\W{{0,4}}({SPLIT_WORD})\b(?![=/])|\|\s?({SPLIT_WORD})\s?\|", re.IGNORECASE)
_VALIDATED = re.compile(r"(?:val|valid|validation|test|eval|dev)[\W_]", re.IGNORECASE)
# `Accuracy for fold 1: 93.11`: the place stands inside the name.
_INSIDE = re.compile(
    r"(?<=[a-z@] )(?:(for|of)|at|after|in|on)(?: end of)? (epoch|step|iteration|iter|fold|trial)"
    r"( #?\d{1,40})(?=\s?[:=|])",
    re.IGNORECASE,
)


def place_in(text: str) -> tuple[Place, str]:
    """The coordinates of a line, and the line with bars where they stood."""
    text, inside = _taken_out(text)
    rank, text = _first(_RANK, text)
    fold, text = _first(_FOLD, text)
    trial, text = _first(_TRIAL, text)
    split = _SPLIT.search(text)
    part = split_of(split[1] or split[2]) if split else None
    epoch, step, part, text = _epoch_in(text, part)
    found, text = _step_in(text)
    step = found if step is None else step
    if step is None:
        epoch, step, text = _in_brackets(text, epoch)
    place = Place(whole(step), finite(epoch), whole(rank), part, whole(fold), whole(trial))
    return place.over(inside), text


def place_of(members: dict[str, float]) -> Place:
    """The coordinates among named values."""
    low = {name.lower(): value for name, value in members.items()}
    step = next((low[name] for name in _STEP_WORDS if name in low), None)
    return Place(*(whole(step), finite(low.get("epoch"))), *(whole(low.get("rank")), None))._replace(
        fold=whole(low.get("fold")), trial=whole(low.get("trial"))
    )


def whole(value: float | None) -> int | None:
    """A coordinate that counts, None for a number that no count reaches."""
    return int(value) if value is not None and abs(value) <= _MAX_STEP else None


def finite(value: float | None) -> float | None:
    """A coordinate that may lie between two counts, None for what no count reaches."""
    return value if value is not None and abs(value) <= _MAX_STEP else None


def _taken_out(text: str) -> tuple[str, Place]:
    found = _INSIDE.search(text) if " " in text else None
    if found is None:
        return text, Place()
    number = int(found[3].strip(" #"))
    match found[2].lower():
        case "epoch":
            place = Place(epoch=float(number))
        case "fold":
            place = Place(fold=number)
        case "trial":
            place = Place(trial=number)
        case _:
            place = Place(step=number)
    before = text[: found.start()]
    if found[1]:
        # Joined, it is part of the name and no place of its own.
        before = f"{before.rstrip()}_{found[1]}_{found[2]}"
    return before + text[found.end() :], place


def _first(pattern: re.Pattern[str], text: str) -> tuple[float | None, str]:
    found = pattern.search(text)
    if found is None:
        return None, text
    return float(found[found.lastindex or 1]), _blanked(text, found)


def _blanked(text: str, found: re.Match[str]) -> str:
    return f"{text[: found.start()]}|{text[found.end() :]}"


def _epoch_in(text: str, split: str | None) -> tuple[float | None, float | None, str | None, str]:
    found = _EPOCH.search(text)
    if found is None:
        epoch, text = _first(_EP, text)
        return epoch, None, split, text
    named = found["split"] or found["in"]
    step = float(found["step"]) if found["step"] else None
    return float(found["number"]), step, split_of(named) if named else split, _blanked(text, found)


def _step_in(text: str) -> tuple[float | None, str]:
    steps = list(_STEP.finditer(text[:4000]))[:8]
    if not steps:
        return _first(_COUNTED, text)
    best = min(steps, key=lambda step: _STEP_WORDS.index(_word(step)))
    number = float(best[2].replace(",", ""))
    for step in reversed(steps):
        text = _blanked(text, step)
    return number, text


def _word(step: re.Match[str]) -> str:
    word = step["word"].lower()
    if "timestep" in word:
        return "total_timesteps"
    return "step" if word == "steps" else word


def _in_brackets(text: str, epoch: float | None) -> tuple[float | None, float | None, str]:
    """Epoch and step where the line says them as `[3/10][120/500]`, `[3, 2000]`, `[120/500 (24%)]` or `120:`."""
    if "[" in text:
        if epoch is None and (two := _TWO_BRACKETS.search(text) or _PAIR_BRACKET.match(text)):
            return float(two[1]), float(two[2]), _blanked(text, two)
        if epoch is None and (counted := _SPLIT_COUNT.match(text)):
            epoch, text = float(counted[1]), _blanked(text, counted)
        first = _FIRST_BRACKET.match(text)
        if first and epoch is None and first[2] and _VALIDATED.search(text):
            return float(first[1]), None, _blanked(text, first)
        if first or (first := _OF_BRACKET.search(text)):
            return epoch, float(first[1]), _blanked(text, first)
    if epoch is None and (leading := _LEADING.match(text)):
        return None, float(leading[1]), _blanked(text, leading)
    return epoch, None, text
