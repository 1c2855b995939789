"""Progress bars: tqdm, Keras, rich and fastprogress, told apart from other lines, and what stands around them.

Pure functions on a clean line. A bar rewrites itself, so most of its states are never read further than `bar_in` does.
"""

import re
from typing import NamedTuple

_COUNT = r"\d{1,15}(?:\.\d{1,6})?[kMGT]?"
# What tqdm puts in brackets may itself hold a bracket or two.
_BRACKET = r"\[(?P<rest>[^\[\]]{0,2000}(?:\[[^\[\]]{0,500}\][^\[\]]{0,500}){0,8})(?:\]|$)"
_TQDM = re.compile(rf"%\|[^|]{{0,1000}}\|\s{{0,8}}(?P<done>{_COUNT})/(?P<total>{_COUNT})\s?{_BRACKET}")
# A total that nobody knows: `Epoch 1: 12it [00:01, 9.1it/s, loss=0.5]`.
_ENDLESS = re.compile(
    rf"(?P<head>[^\[\]]{{0,200}}?)\s{{0,4}}(?<![\d.])(?P<done>{_COUNT})\s?[A-Za-z]{{1,20}}\s(?=\[\d\d?:\d\d){_BRACKET}"
)
_KERAS = re.compile(
    r"\s{0,4}(?P<done>\d{1,15})/(?P<total>\d{1,15}|Unknown)\s"
    r"(?:\s{0,3}\[[=>.]{10,100}\]\s?-|\s{0,3}[━╸╺─]{10,100}|-\s\d{1,9}m?s\s-)(?P<rest>.*)"
)
_KERAS_TIMES = re.compile(r"(?:\s|-|ETA:|[\d:]{1,12}(?:[mu]?s|h|m)?(?:/(?:step|epoch))?(?=\s|$))*+")
_RICH = re.compile(r"(?P<head>[^\u2500-\u257f]{0,200}?)\s{0,8}[━╸╺]{10,300}(?P<rest>.{0,2000})")
_RICH_COUNT = re.compile(rf"(?P<done>{_COUNT})\s?(?:/|of)\s?(?P<total>{_COUNT})|(?P<percent>\d{{1,3}})%")
_RICH_TIMES = re.compile(r"(?:\s|[\d:.-]{1,15}|•|it/s|s/it)*+")
_FASTPROGRESS = re.compile(
    r"(?P<head>[^|]{0,200}?)\s{0,4}\|[█-]{5,200}\|\s[\d.]{1,6}%\s\[(?P<done>\d{1,15})/(?P<total>\d{1,15})\s"
)
_LEFT = re.compile(r"<\s?(?:(?P<days>\d{1,6}) days?, )?(?P<clock>\d{1,4}(?::\d\d){1,2})(?=[,\s\]]|$)")
_RATE = re.compile(
    r"[\d:]{1,12}(?:<[^,]{0,30})?"
    r"(?:,\s{0,2}(?:[\d.?]{1,15}[kMG]?\s?(?P<unit>[A-Za-z ]{1,30})/s"
    r"|[\d.?]{1,15}\s?s/(?P<per>[A-Za-z ]{1,30})))?(?:,\s?|\s|$)"
)
_PLAIN_COUNT = re.compile(rb"%\|[^|]{0,1000}\|\s?(\d{1,15})/(\d{1,15}) \[[^\[\]]{0,2000}\]$")
_EPOCHS = re.compile(r"(?:\w{1,20} )?epochs?:?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DECIMAL = re.compile(r"\d+\.\d|\b(?:nan|inf)\b")
_MULTIPLES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_MOST_TRIES = 4


class Bar(NamedTuple):
    """One state of a bar.

    States of one `family` overwrite each other; one with another `key` is another bar. `head` and `rest` are the text
    on both sides of it, `after` what another writer put on the same line. `total` is None where the bar knows none,
    `left_seconds` where it does not say how long it will take. `of_epochs`: what it counts are epochs.
    """

    family: str
    key: str
    done: float
    total: float | None
    head: str
    rest: str
    after: str = ""
    left_seconds: float | None = None
    of_epochs: bool = False


class BarLine:
    """The raw line of a bar, which knows its later states without reading them: what they replace need not be known."""

    __slots__ = ("_done", "_head", "_total", "line")

    def __init__(self, head: bytes, done: int, total: bytes) -> None:
        self._head, self._done, self._total = head, done, total
        self.line = b""

    def moves_to(self, line: bytes) -> bool:
        """Whether a line is the same bar, as far or further; if so it is kept as its last state."""
        at = line.find(b"%|")
        if at < 3 or line[: at - 3] != self._head or line[-1:] != b"]":
            return False
        found = _PLAIN_COUNT.match(line, at)
        if found is None or found[2] != self._total or int(found[1]) < self._done:
            return False
        self._done, self.line = int(found[1]), line
        return True


def bar_line_of(line: bytes) -> BarLine | None:
    """What recognises later states of a bar by its raw line; None if it is not one of tqdm's in the usual form."""
    at = line.find(b"%|")
    found = _PLAIN_COUNT.match(line, at) if at >= 3 else None
    return BarLine(line[: at - 3], int(found[1]), found[2]) if found else None


def bar_in(text: str) -> Bar | None:
    """The bar that a clean line is a state of, None for other lines."""
    if "%|" in text:
        return _with_percent(text)
    if "it [" in text or "s [0" in text:
        found = _ENDLESS.match(text)
        return _tqdm(found["head"], found, None) if found else None
    if "━" in text or "─" in text or "/" in text[:24]:
        keras = _KERAS.match(text)
        if keras:
            total = None if keras["total"] == "Unknown" else float(keras["total"])
            rest = keras["rest"]
            times = _KERAS_TIMES.match(rest)
            rest = rest[times.end() :] if times else rest
            return Bar("keras", keras["total"], float(keras["done"]), total, "", rest)
        if "━" in text:
            return _rich(text)
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


def _with_percent(text: str) -> Bar | None:
    at = 0
    for _ in range(_MOST_TRIES):
        at = text.find("%|", at)
        if at < 0:
            return None
        found = _TQDM.match(text, at)
        if found:
            return _tqdm(text[max(0, at - 400) : at].rstrip("0123456789"), found, found["total"])
        at += 2
    return None


def _tqdm(head: str, found: re.Match[str], total: str | None) -> Bar:
    head, rest = head.strip().removesuffix(":"), found["rest"]
    left = _LEFT.search(rest, 0, 60)
    remaining = float(left["days"] or 0) * 86_400 + seconds(left["clock"]) if left else None
    rate = _RATE.match(rest)
    unit = (rate["unit"] or rate["per"] or "").strip() if rate else ""
    decimal = _DECIMAL.search(head)
    return Bar(
        f"{_NUMBER.sub('#', head)}/{total}",
        head[: decimal.start()] if decimal else head,
        count(found["done"]),
        count(total) if total else None,
        head,
        rest[rate.end() :] if rate else rest,
        found.string[found.end() :].strip(),
        remaining,
        unit.lower().startswith(("epoch", "ep")) or _EPOCHS.fullmatch(head) is not None,
    )


def _rich(text: str) -> Bar | None:
    found = _RICH.match(text)
    if found is None:
        return None
    head, rest = found["head"].strip(), found["rest"]
    counted = _RICH_COUNT.search(rest)
    if counted is None:
        return None
    done, total = (counted["percent"], "100") if counted["percent"] else (counted["done"], counted["total"])
    rest = rest[counted.end() :]
    times = _RICH_TIMES.match(rest)
    rest = rest[times.end() :] if times else rest
    return Bar(f"rich {_NUMBER.sub('#', head)}", f"{head}/{total}", count(done), count(total), head, rest)
