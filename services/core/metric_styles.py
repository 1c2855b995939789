"""How programs write metrics on one line: a table of styles, each a pure function from a clean line to its metrics.

Add a style by adding a function to `STYLES`. No state: what takes several lines is in `series`.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

_MAX_NAME = 100
_MAX_STEP = 2**53
_MAX_METRICS = 200
# People read what is on a line of this length at most; what is longer is a dump.
_MAX_PROSE = 4_000

_VALUE = r"[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|NaN|NAN|inf|Inf|Infinity)"
# Not a value: part of a longer word or number, a date, a time, a fraction, an amount with a unit.
_VALUE_END = r"(?![\w:/]|\.\d|-\d|%\||\s?(?:[kMGT]i?B|ms|us|s/|it/s|sec))"
_NAME = r"[A-Za-z_@][\w@./()-]{0,100}"
_FIRST_WORD = (
    r"(?:[Tt]rain(?:ing)?|[Vv]al(?:id(?:ation)?)?|[Tt]est|[Ee]val(?:uation)?|[Aa]vg\.?|[Mm]ean|[Ll]earning|[Bb]est)"
)
_KNOWN = r"(?:[\w/-]{0,60}?(?:[Ll]oss|[Aa]cc(?:uracy)?|[Ll]r|[Ff]1|[Pp]erplexity|ppl|[Ee]rror|[Rr]eward))"

_PAIR = re.compile(rf"(?<![\w.])((?:{_FIRST_WORD} )?{_NAME})\s{{0,8}}[:=]\s{{0,8}}({_VALUE}){_VALUE_END}")
_SPACED = re.compile(rf"(?<![\w.])((?:{_FIRST_WORD} )?{_KNOWN})\s{{1,4}}({_VALUE}){_VALUE_END}")
_QUOTED_PAIR = re.compile(rf"""["']({_NAME})["']:\s?["']?({_VALUE})["']?(?=\s?[,}}])""")
_STEP_NAMES = ("global_step", "step", "iteration", "iter", "it", "batch", "update")
_STEP = re.compile(
    r"(?<![A-Za-z_])(?:(?:global[_ ])?step|iteration|iter|it|batch|update)[\s:=#]{0,3}[\[(]?\s{0,4}"
    r"(\d+)(?![\d.]*%)",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"(?<![A-Za-z_])epoch(?:\((?:train|val)\))?[\s:=#]{0,3}[\[(]?\s{0,4}(\d+(?:\.\d+)?)", re.IGNORECASE)
_BRACKETED = re.compile(r"^\s{0,4}\[\s{0,6}(\d+)(?:/\d+)?\]")
_TWO_BRACKETS = re.compile(r"\[\s{0,6}(\d+)(?:/\d+)?\]\s?\[\s{0,6}(\d+)(?:/\d+)?\]")
_RANK = re.compile(r"(?<![A-Za-z])(?:local_)?rank[\s:=]{0,2}(\d+)", re.IGNORECASE)
_SPLIT = re.compile(r"^\W{0,4}(train|val|valid|validation|eval|test)\b", re.IGNORECASE)
_NO_SERIES = frozenset(
    {*_STEP_NAMES, "epoch", "train epoch", "eval epoch", "test epoch", "rank", "local_rank", "eta", "seed", "pid"}
)
_WORD = re.compile(r"[A-Za-z]{2,}")


Found = re.Match[str] | None


class Metric(NamedTuple):
    """One value of a series as the program printed it, percentages too, with the coordinates that stood near it."""

    name: str
    value: float
    step: int | None = None
    epoch: float | None = None
    rank: int | None = None
    split: str | None = None


class Place(NamedTuple):
    """The coordinates that a line gives."""

    step: int | None = None
    epoch: float | None = None
    rank: int | None = None
    split: str | None = None


def read_line(text: str) -> list[Metric]:
    """The metrics in one clean line, by the first style that finds any. NaN and the infinities are values."""
    for style in STYLES:
        found = style(text)
        if found:
            return found[:_MAX_METRICS]
    return []


def read_json(text: str) -> list[Metric]:
    """A line that is one JSON object: its numbers."""
    if not (text.startswith("{") and text.rstrip().endswith("}")):
        return []
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return []
    pairs = [(name, float(value)) for name, value in members.items() if type(value) in (int, float)]
    return _metrics(pairs, _place_of(dict(pairs)))


def read_dict(text: str) -> list[Metric]:
    """`{'loss': 1.2, 'epoch': 0.5}` as the Hugging Face Trainer prints it; its later versions quote the numbers."""
    start = text.find("{'")
    if start < 0:
        return []
    pairs = [(name, float(value)) for name, value in _QUOTED_PAIR.findall(text, start)]
    own, around = _place_of(dict(pairs)), place_in(text[:start])
    if own.step is None and own.epoch is None:
        if start and around.step is None and around.epoch is None:
            return []  # Some dictionary in a sentence.
        own = around
    return _metrics(pairs, own._replace(rank=own.rank if own.rank is not None else around.rank))


def read_pairs(text: str) -> list[Metric]:
    """`epoch 3 step 120: loss=0.5 acc: 0.9`. Without any coordinate only if there is nothing else on the line."""
    text = text[:_MAX_PROSE]
    place = place_in(text)
    if place.step is None and place.epoch is None:
        return _metrics(pairs_in(text), place) if not _WORD.search(_PAIR.sub("", text)) else []
    pairs = pairs_in(text)
    names = {name for name, _ in pairs}
    pairs += [(name, float(value)) for name, value in _SPACED.findall(text) if name not in names]
    return _metrics(pairs, place)


Style = Callable[[str], list[Metric]]
STYLES: tuple[Style, ...] = (read_json, read_dict, read_pairs)


def read_bar_text(head: str, rest: str) -> list[Metric]:
    """The metrics beside a progress bar: coordinates before it, pairs after it."""
    return _metrics(pairs_in(rest[:_MAX_PROSE]), place_in(head))[:_MAX_METRICS]


def pairs_in(text: str) -> list[tuple[str, float]]:
    """Every `name=number` and `name: number`."""
    return [(name, float(value)) for name, value in _PAIR.findall(text)]


def place_in(text: str) -> Place:
    """The coordinates that stand in a line."""
    step, epoch = _STEP.search(text), _EPOCH.search(text)
    if step is None and "[" in text:
        epoch, step = _in_brackets(text, epoch)
    rank, split = _RANK.search(text), _SPLIT.match(text)
    return Place(
        whole(float(step[step.lastindex or 1])) if step else None,
        finite(float(epoch[1])) if epoch else None,
        whole(float(rank[1])) if rank else None,
        split[1].lower() if split else None,
    )


def _in_brackets(text: str, epoch: Found) -> tuple[Found, Found]:
    """Epoch and step where the line is headed `[3/10][120/500]`, `Epoch [3][120/500]` or `[120]`."""
    two = _TWO_BRACKETS.search(text)
    if two:
        return epoch or two, two
    return epoch, _BRACKETED.match(text) if epoch is None else None


def _place_of(members: Mapping[str, float]) -> Place:
    """The coordinates among named values."""
    step = next((members[name] for name in _STEP_NAMES if name in members), math.nan)
    return Place(whole(step), finite(members.get("epoch", math.nan)), whole(members.get("rank", math.nan)))


def whole(value: float) -> int | None:
    """A coordinate that counts, None for a number that no count reaches."""
    return int(value) if abs(value) <= _MAX_STEP else None


def finite(value: float) -> float | None:
    """A coordinate that may lie between two counts, None for NaN and the infinities."""
    return value if math.isfinite(value) else None


def _metrics(pairs: Iterable[tuple[str, float]], place: Place) -> list[Metric]:
    return [
        Metric("_".join(name.split())[:_MAX_NAME], value, *place)
        for name, value in pairs
        if name.lower() not in _NO_SERIES and not name.endswith(".py")
    ]
