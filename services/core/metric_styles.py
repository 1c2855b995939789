"""How programs write metrics on one line: a table of styles, each a pure function from a clean line to what it tells.

Add a style by adding a function to `STYLES`. No state: what takes several lines is in `series`, bars are in
`metric_bars`, tables in `metric_columns`, coordinates in `metric_places`, names and numbers side by side in
`metric_pairs`.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from services.core.metric_names import in_split, is_measure, is_series
from services.core.metric_pairs import WRAPPED, Pair, number, pairs_in
from services.core.metric_places import Metric, Place, place_in, place_of
from services.core.metric_prefixes import without_prefix

__all__ = ["Metric", "Place", "Reading", "Value", "read", "read_line", "read_shown", "reading_of"]

_MAX_METRICS = 200
# People read what is on a line of this length at most; what is longer is a dump.
_MAX_PROSE = 4_000
_MAX_DEPTH = 3

_QUOTED_PAIR = re.compile(
    rf"""["'](?P<name>[A-Za-z_@][\w@./() %+-]{{0,100}})["']\s?:\s?["']?{WRAPPED}["']?(?=\s?[,}})\]])"""
)
# Optuna says so.
_TRIAL_VALUE = re.compile(rf"\bTrial (\d{{1,9}}) finished with (?P<name>value)s?: {WRAPPED}")
_SENTENCE = re.compile(
    rf"\s{{0,8}}(?P<name>[A-Za-z][\w@-]{{0,40}}(?:\s[\w@-]{{1,40}})?)\s(?:of|on|for|over|after)\s[^:=|]{{1,100}}[:=]\s{{0,4}}{WRAPPED}(?P<unit>\s?%)?\W{{0,4}}$"
)
# pycocotools says so.
_COCO = re.compile(
    r"^\s{0,4}Average (?:Precision|Recall)\s{1,4}\((?P<name>A[PR])\) @\[ IoU=(?P<iou>[\d.:]{1,12})\s{0,8}\|"
    r" area=\s{0,8}(?P<area>\w{1,8})\s?\| maxDets=\s{0,8}(?P<most>\d{1,5})\s?\] = (?P<value>-?\d(?:\.\d{1,6}|\b))"
)
_IS_SETTINGS = re.compile(r"param|config|args", re.IGNORECASE)
# The summary that wandb prints at its end repeats what has been printed.
_REPEATS = ("wandb:",)


class Value(NamedTuple):
    """A series' name, the number printed beside it, and its unit where one stood there."""

    name: str
    value: float
    unit: str | None = None


class Reading(NamedTuple):
    """What a line tells: where it belongs and the values that it names. Either may be empty."""

    place: Place = Place()
    values: tuple[Value, ...] = ()

    def metrics(self) -> list[Metric]:
        """The values, each with the coordinates."""
        return [Metric(name, value, *self.place, unit) for name, value, unit in self.values]


NOTHING = Reading()


def read_line(text: str) -> list[Metric]:
    """The metrics in one clean line. NaN and the infinities are values."""
    return read(text).metrics()


def read(text: str) -> Reading:
    """What one clean line tells, by the first style that finds a value; only a place where none does."""
    rank, text = without_prefix(text)
    if text.startswith(_REPEATS):
        return NOTHING
    found = NOTHING
    for style in STYLES:
        told = style(text)
        found = told if told.values or told.place.is_known else found
        if told.values:
            break
    if rank is not None and found.place.rank is None:
        return found._replace(place=found.place._replace(rank=rank))
    return found


def read_json(text: str) -> Reading:
    """A line that ends in a JSON object: its numbers; those of objects inside are named with a slash."""
    start = text.find('{"')
    if start < 0 or not text.endswith("}"):
        return NOTHING
    try:
        members = json.loads(text[start:])
    except (ValueError, RecursionError):
        return NOTHING
    named = dict(_numbers(members, "", 0))
    place = _inner(place_of(named), text[:start])
    return reading_of([Pair(name, repr(value)) for name, value in named.items()], place, own_names=True)


def read_dict(text: str) -> Reading:
    """`{'loss': 1.2, 'epoch': 0.5}` as the Hugging Face Trainer prints it; its later versions quote the numbers."""
    start = text.find("{'")
    if start < 0:
        return NOTHING
    if _IS_SETTINGS.search(text, 0, start):
        return NOTHING
    found = [Pair(match["name"], match["number"]) for match in _QUOTED_PAIR.finditer(text, start)]
    place = _inner(place_of({pair.name: number(pair.value) for pair in found}), text[:start])
    return reading_of(found, place, own_names=True)


def read_pairs(text: str) -> Reading:
    """`epoch 3 step 120: loss=0.5 acc: 0.9`. Without any coordinate only what is named as a measure."""
    place, rest = place_in(text[:_MAX_PROSE])
    return reading_of(pairs_in(rest, place.is_known), place)


def read_shown(text: str) -> Reading:
    """What stands beside a bar: it is shown to be followed, whatever its name."""
    place, rest = place_in(text[:_MAX_PROSE])
    return reading_of(pairs_in(rest, is_placed=True), place, is_placed=True)


def read_sentence(text: str) -> Reading:
    """`Accuracy of the network on the 10000 test images: 54 %`."""
    found = _SENTENCE.match(text)
    if found is None or not is_measure(found["name"]):
        return NOTHING
    unit = "%" if found["unit"] else None
    return Reading(Place(), (Value("_".join(found["name"].split()), number(found["number"]), unit),))


def read_trial(text: str) -> Reading:
    """The value that a trial of a search came to."""
    found = _TRIAL_VALUE.search(text) if "Trial " in text else None
    if found is None:
        return NOTHING
    return Reading(Place(trial=int(found[1])), (Value(found["name"], number(found["number"])),))


def read_coco(text: str) -> Reading:
    """One row of the summary of a detector's evaluation."""
    found = _COCO.match(text) if "maxDets" in text else None
    if found is None:
        return NOTHING
    name = f"{found['name']}@[IoU={found['iou']}|area={found['area']}|maxDets={found['most']}]"
    return Reading(Place(), (Value(name, float(found["value"])),))


Style = Callable[[str], Reading]
STYLES: tuple[Style, ...] = (read_trial, read_coco, read_json, read_dict, read_pairs, read_sentence)


def reading_of(pairs: Iterable[Pair], place: Place, *, own_names: bool = False, is_placed: bool = False) -> Reading:
    """Pairs at a place. Without coordinates only those named as measures; settings are no series at all.

    `is_placed` says that there are coordinates elsewhere. `own_names` keeps the names as they are: a program that
    writes a record of names chose them.
    """
    found = []
    for name, value, unit in pairs:
        if is_series(name) if is_placed or place.is_known else is_measure(name):
            named = name if own_names else in_split(name, place.split, place.step is not None)
            found.append(Value("_".join(named.split()), number(value), unit))
    return Reading(place, tuple(found[:_MAX_METRICS]))


def _inner(place: Place, before: str) -> Place:
    """The place that a record names, with what the text before it says where the record is silent."""
    if not before or before.isspace():
        return place
    around, _ = place_in(before)
    return place.over(around)


def _numbers(members: object, within: str, depth: int) -> Iterable[tuple[str, float]]:
    if not isinstance(members, dict) or depth >= _MAX_DEPTH:
        return
    told = next((members[key] for key in ("metric", "key", "tag", "name") if isinstance(members.get(key), str)), None)
    for name, value in members.items():
        if type(value) in (int, float) or (isinstance(value, str) and _is_number(value)):
            is_told = told is not None and name in ("value", "val")
            yield within + (told[:100] if is_told and told else name), float(value)
        else:
            yield from _numbers(value, f"{within}{name}/", depth + 1)


def _is_number(text: str) -> bool:
    return (
        len(text) < 30 and re.fullmatch(r"[-+]?\d{1,15}(?:\.\d{1,20})?(?:e[-+]?\d{1,3})?|nan|-?inf", text) is not None
    )
