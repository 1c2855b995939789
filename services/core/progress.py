"""How far a program says it is, from one line of its output. Pure."""

import re
from dataclasses import dataclass

from services.core.metric_bars import bar_in, seconds

_EPOCH = re.compile(
    r"(?<![A-Za-z])epoch[\s:=#]{0,3}\[?\s{0,4}(\d{1,12})\s{0,2}(?:/|of)\s{0,2}(\d{1,12})", re.IGNORECASE
)
_STEP = re.compile(
    r"(?<![A-Za-z])(?:step|iter(?:ation)?|batch|round|update|trial)[\s:=#]{0,3}\[?\s{0,8}(\d{1,12})\s{0,2}(?:/|of)\s{0,8}(\d{1,12})",
    re.IGNORECASE,
)
_ETA = re.compile(
    r"(?<![A-Za-z])(?:eta|remaining|time left)[\s:=]{1,3}(?:(?P<days>\d{1,5}) days?, )?"
    r"(?:(?P<clock>\d{1,4}(?::\d\d){1,2})|(?P<number>\d{1,9}(?:\.\d{1,3})?)\s?(?P<unit>s|m|min|h)\b)",
    re.IGNORECASE,
)
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0}


@dataclass(frozen=True)
class Progress:
    """How far the program says it is: a fraction from 0 to 1, its own words for it, and how long it says it will take.

    A program that counts epochs and, within one, steps is as far as both together say.
    """

    fraction: float
    text: str
    eta_seconds: float | None = None


def progress(line: str) -> Progress | None:
    """How far a clean line says the program is: `step 12/100`, `epoch 3/10`, `45%|███`. None if it doesn't say."""
    bar = bar_in(line)
    if bar is not None:
        if not bar.total or bar.done > bar.total:
            return None
        share = bar.done / bar.total
        epoch = _fraction(_EPOCH, bar.head)
        fraction = share if epoch is None else (max(0, epoch[0] - 1) + share) / epoch[1]
        # What is left of one epoch's bar is not what is left of all of them.
        left = bar.left_seconds if epoch is None or epoch[0] >= epoch[1] else None
        return Progress(min(1.0, fraction), f"{bar.head} {100 * share:.0f}%".strip(), left)
    if "/" not in line and " of " not in line:
        return None
    epoch, step = _fraction(_EPOCH, line), _fraction(_STEP, line)
    told = step or epoch
    if told is None:
        return None
    fraction = told[0] / told[1]
    if epoch is not None and step is not None and epoch[0] >= 1:
        fraction = (epoch[0] - 1 + fraction) / epoch[1]
    return Progress(fraction, " ".join(part[2] for part in (epoch, step) if part), _eta(line))


def _fraction(pattern: re.Pattern[str], text: str) -> tuple[int, int, str] | None:
    found = pattern.search(text)
    if found is None or int(found[2]) == 0 or int(found[1]) > int(found[2]):
        return None
    return int(found[1]), int(found[2]), found[0]


def _eta(text: str) -> float | None:
    found = _ETA.search(text)
    if found is None:
        return None
    if found["clock"]:
        return seconds(found["clock"]) + 86_400.0 * float(found["days"] or 0)
    return float(found["number"]) * _UNITS[found["unit"].lower()]
