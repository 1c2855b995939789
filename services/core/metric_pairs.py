"""Names and numbers that stand side by side in a clean line, whatever the program put between them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from services.core.metric_names import is_measure, name_of

NUMBER = (
    # With the decimal comma of half of the world where it can't be one of thousands.
    r"[-+]?(?:(?:\d{1,6},\d{1,2}|0,\d{3,17}|\d{1,6},\d{4,17})(?![\d,.])|\d{1,3}(?:,\d{3}){1,4}(?:\.\d+)?(?!\d)|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
    r"|nan\b|NaN\b|NAN\b|inf\b|Inf\b|Infinity\b)"
)
# Wrapped as Python shows the scalars of its libraries.
WRAPPED = (
    r"(?:(?:torch\.)?(?:tensor|array|Array|DeviceArray|tf\.Tensor|np\.float\d\d|float)\()?\[{0,2}\s?"
    rf"(?P<number>{NUMBER})"
)
_UNIT = (
    r"(?:ns|us|µs|ms|s|secs?|seconds?|mins?|minutes?|h|hours?|days?"
    r"|[kKMGT]i?B|[KMGT]|B|bytes|[\w.]{1,12}/s(?:ec)?|ms/\w{1,8})"
)
# Not a value: part of a longer word or number, a date, a time, an amount with a unit.
_END = rf"(?![\w:]|\.\d|-\d|,\d\d\d(?!\d)|/[\ds]|\s?{_UNIT}(?![\w%(=:]))"
_PERCENT = r"(?P<unit>\s?%(?!\|))?"
_WORD = r"[A-Za-z_@#%][\w@./()'%*-]{0,80}\]?"
_NAME = rf"(?P<name>{_WORD}(?:\s(?:{_WORD}|\([\w/% ]{{1,20}}\))){{0,5}})"
_MEAN = rf"(?:\s?\(\s{{0,4}}(?P<mean>{NUMBER})\s?\)(?!\s?[%s]))?"
_SECOND = rf"(?:\s/\s(?P<second>{NUMBER})(?![\w/]|\s?/))?"
_GAP = r"(?P<gap>\s{0,40}[:=]\s{0,20})"

_PAIR = re.compile(rf"(?<![\w.]){_NAME}{_GAP}{WRAPPED}{_END}{_PERCENT}{_MEAN}{_SECOND}")
# `Accuracy: 238/297 (80%)`
_SHARE = re.compile(rf"(?<![\w.]){_NAME}{_GAP}\d{{1,12}}\s?/\s?\d{{1,12}}\s?\(\s?(?P<value>{NUMBER})(?P<unit>\s?%)\)")
_SPACED = re.compile(rf"(?<![\w.]){_NAME}\s{{1,12}}(?P<value>{NUMBER}){_END}{_PERCENT}{_MEAN}")
_ALONE = re.compile(rf"\s{{0,8}}{_NAME}\s{{1,12}}(?P<value>{NUMBER}){_PERCENT}{_MEAN}\s{{0,8}}\.?")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_SEGMENT = re.compile(r"[|,;\t]|\s-\s|\s{2,}")
_IS_DECIMAL = re.compile(r"[.en]", re.IGNORECASE)


class Pair(NamedTuple):
    """A name as printed, the text of its number, and a unit if one stood there."""

    name: str
    value: str
    unit: str | None = None


def pairs_in(text: str, is_placed: bool) -> list[Pair]:
    """Every `name: 1`, `name=1`, and `name 1` where the name is one of a measure or, if placed, stands alone."""
    found: list[tuple[int, int, list[Pair]]] = []
    if ":" in text or "=" in text:
        if "%" in text:
            found += [(m.start("name"), m.end(), [_pair(m, m["value"])]) for m in _SHARE.finditer(text)]
        found += [(m.start("name"), m.end(), list(_all(m, m["number"]))) for m in _PAIR.finditer(text)]
    spaced = [(start, end, pairs) for start, end, pairs in _spaced(text, is_placed) if not _within(start, end, found)]
    return [pair for _, _, pairs in sorted(found + spaced, key=lambda at: at[0]) for pair in pairs]


def number(text: str) -> float:
    """The value of a number's text."""
    if "," not in text:
        return float(text)
    return float(text.replace(",", "" if _THOUSANDS.fullmatch(text) else "."))


def _within(start: int, end: int, spans: list[tuple[int, int, list[Pair]]]) -> bool:
    return any(start < other_end and other_start < end for other_start, other_end, _ in spans)


def _spaced(text: str, is_placed: bool) -> Iterator[tuple[int, int, list[Pair]]]:
    for match in _SPACED.finditer(text):
        if _measures(match["name"]):
            yield match.start("name"), match.end(), list(_all(match, match["value"]))
    if not is_placed:
        return
    start = 0
    for cut in [*_SEGMENT.finditer(text), None]:
        end = cut.start() if cut else len(text)
        alone = _ALONE.fullmatch(text, start, end) if end - start < 120 else None
        if alone and not _measures(alone["name"]):
            yield start, end, list(_all(alone, alone["value"]))
        start = cut.end() if cut else end


def _measures(phrase: str) -> bool:
    """Whether a phrase ends in the name of a measure, or in a learning rate."""
    words = phrase.split()
    return is_measure(words[-1]) or words[-1].lower() == "lr" or phrase.lower().endswith("learning rate")


def _all(match: re.Match[str], value: str) -> Iterator[Pair]:
    yield _pair(match, value)
    groups = match.groupdict()
    mean, second = groups.get("mean"), groups.get("second")
    # `loss 0.83 (1.64)` is a value and its running mean; `best 0.58 (41)` says where the best was.
    if mean and (_IS_DECIMAL.search(mean) or not _IS_DECIMAL.search(value)):
        yield _pair(match, mean)._replace(name=f"{name_of(match['name'])}_avg")
    if second and _IS_DECIMAL.search(second):
        yield _pair(match, second)._replace(name=f"{name_of(match['name'])}_2")


def _pair(match: re.Match[str], value: str) -> Pair:
    name = match["name"]
    if match.groupdict().get("gap") == "=":
        name = name.split()[-1]
    return Pair(name_of(name), value, "%" if match["unit"] else None)
