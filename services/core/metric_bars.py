"""Progress bars: tqdm, Keras, rich and fastprogress, told apart from other lines, and what stands around them.

Pure functions on a clean line. A bar rewrites itself, so most of its states are never read further than `bar_in` does.
"""

import re
from typing import NamedTuple

_DIGITS = str.maketrans("123456789", "000000000")
_COUNT = r"\d{1,15}(?:\.\d{1,6})?[kMGT]?"
# What tqdm puts in brackets may itself hold a bracket or two.
_BRACKET = r"\[(?P<rest>[^\[\]]{0,2000}(?:\[[^\[\]]{0,500}\][^\[\]]{0,500}){0,8})(?:\]|$)"
_TQDM = re.compile(
    rf"(?P<head>[^|]{{0,400}}?)\s{{0,4}}\d{{1,3}}%\|[^|]{{0,1000}}\|\s{{0,8}}(?P<done>{_COUNT})/(?P<total>{_COUNT})\s?{_BRACKET}"
)
# A total that nobody knows: `Epoch 1: 12it [00:01, 9.1it/s, loss=0.5]`.
_ENDLESS = re.compile(
    rf"(?P<head>[^|\[\]]{{0,200}}?)\s{{0,4}}(?<![\d.])(?P<done>{_COUNT})\s?[A-Za-z]{{1,20}}\s(?=\[\d\d?:\d\d){_BRACKET}"
)
_KERAS = re.compile(
    r"\s{0,4}(?P<done>\d{1,15})/(?P<total>\d{1,15}|Unknown)\s{1,4}(?:\[[=>.]{10,100}\]\s?-|[━╸╺─]{10,100})(?P<rest>.*)"
)
_RICH = re.compile(
    r"(?P<head>[^━╸╺╶─-╿]{0,200}?)\s{0,8}[━╸╺]{10,300}(?P<rest>.{0,2000})"
)
_RICH_COUNT = re.compile(rf"(?P<done>{_COUNT})\s?(?:/|of)\s?(?P<total>{_COUNT})|(?P<percent>\d{{1,3}})%")
_FASTPROGRESS = re.compile(
    r"(?P<head>[^|]{0,200}?)\s{0,4}\|[█-]{5,200}\|\s[\d.]{1,6}%\s\[(?P<done>\d{1,15})/(?P<total>\d{1,15})\s(?P<rest>[^\]]{0,200})\]?"
)
_LEFT = re.compile(r"<\s?(?:(?P<days>\d{1,6}) days?, )?(?P<clock>\d{1,4}(?::\d\d){1,2})(?=[,\s\]]|$)")
_RATE = re.compile(
    r"^(?P<clock>[\d:]{1,12}(?:<[^,]{0,30})?),?\s{0,2}(?:[\d.?]{1,15}[kMG]?\s?[\w ]{0,30}/s|[\d.?]{1,15}\s?s/[\w ]{1,30})?(?:,\s?|\s|$)"
)
_MULTIPLES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


class Bar(NamedTuple):
    """One state of a bar.

    States of one `family` overwrite each other; one with another `key` is another bar. `head` and `rest` are the text
    on both sides of it, `after` what another writer put on the same line. `total` is None where the bar knows none,
    `left_seconds` where it does not say how long it will take.
    """

    family: str
    key: str
    done: float
    total: float | None
    head: str
    rest: str
    after: str = ""
    left_seconds: float | None = None


def bar_in(text: str) -> Bar | None:
    """The bar that a clean line is a state of, None for other lines."""
    if "%|" in text:
        found = _TQDM.match(text)
        return _tqdm(found, text) if found else None
    if "it [" in text or "s [0" in text:
        found = _ENDLESS.match(text)
        return _tqdm(found, text) if found else None
    if "━" in text or "/" in text[:20] and ("[" in text[:40] or "─" in text):
        keras = _KERAS.match(text)
        if keras:
            total = None if keras["total"] == "Unknown" else float(keras["total"])
            rest = keras["rest"].partition("step - ")
            return Bar("keras", keras["total"], float(keras["done"]), total, "", rest[2] or keras["rest"])
        return _rich(text) if "━" in text else None
    if "% [" in text:
        found = _FASTPROGRESS.match(text)
        if found:
            return Bar("fastprogress", found["head"], float(found["done"]), float(found["total"]), "", "")
    return None


def count(text: str) -> float:
    """The value of a bar's count, which may be scaled: `1.5k`."""
    return float(text[:-1]) * _MULTIPLES[text[-1]] if text[-1] in _MULTIPLES else float(text)


def seconds(clock: str) -> float:
    """The seconds of `mm:ss` or `hh:mm:ss`."""
    total = 0.0
    for part in clock.split(":"):
        total = total * 60 + float(part)
    return total


def _tqdm(found: re.Match[str], text: str) -> Bar:
    head, rest = found["head"].strip().removesuffix(":"), found["rest"]
    total = found.groupdict().get("total")
    family = f"{head.translate(_DIGITS)}/{total}"
    left = _LEFT.search(rest, 0, 60)
    remaining = float(left["days"] or 0) * 86_400 + seconds(left["clock"]) if left else None
    counted = count(total) if total else None
    after = text[found.end() :].strip()
    return Bar(family, head, count(found["done"]), counted, head, _postfix(rest), after, remaining)


def _postfix(rest: str) -> str:
    rate = _RATE.match(rest)
    return rest[rate.end() :] if rate else rest


def _rich(text: str) -> Bar | None:
    found = _RICH.match(text)
    if found is None:
        return None
    head, rest = found["head"].strip(), found["rest"]
    counted = _RICH_COUNT.search(rest)
    if counted is None:
        return None
    done, total = (counted["percent"], "100") if counted["percent"] else (counted["done"], counted["total"])
    return Bar(f"rich {head.translate(_DIGITS)}", f"{head}/{total}", count(done), count(total), head, rest[counted.end() :])
