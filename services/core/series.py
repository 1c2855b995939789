"""The metrics that a training program prints, read from its raw log while it runs, in constant memory.

Standard library only: the runner has it too. What is on one line is read in `metric_styles`; here is what takes more
than one line: bars that rewrite themselves, and blocks that name their epoch in a heading.
"""

import re
from dataclasses import dataclass

from services.core.loglines import LogLine, LogLines, clean
from services.core.metric_plans import Plans
from services.core.metric_styles import Metric, read_bar_text, read_line

__all__ = ["Metric", "Progress", "SeriesParser", "progress"]

_MAX_BARS = 32
_HEADING = re.compile(
    r"\W{0,8}(?:starting |begin )?epoch[\s:#]{0,3}(\d{1,9})\s{0,2}(?:(?:/|of)\s{0,2}\d{1,9})?\W{0,8}$", re.IGNORECASE
)
_TQDM = re.compile(
    r"(?P<head>[^|]{0,200}?)\s{0,4}(?P<percent>\d{1,3})%\|[^|]{0,400}\|\s{0,8}(?P<done>\d{1,15})/(?P<total>\d{1,15})\s?\[(?P<rest>.*)"
)
_KERAS = re.compile(r"\s{0,4}(?P<done>\d{1,15})/(?P<total>\d{1,15})\s{1,4}[\[━╸╺─=](?P<rest>.*)")
_FRACTION = re.compile(
    r"(?<![A-Za-z])(?:step|iter(?:ation)?|epoch|batch)[\s:=#]{0,3}\[?\s{0,4}(\d{1,12})\s{0,2}(?:/|of)\s{0,2}(\d{1,12})",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Progress:
    """How far the program says it is: a fraction from 0 to 1, and its own words for it."""

    fraction: float
    text: str


@dataclass(frozen=True)
class _Bar:
    """One state of a bar. States of one `family` overwrite each other; one with another `key` is another bar."""

    family: str
    key: str
    done: int
    metrics: list[Metric]


class SeriesParser:
    """Finds metrics in a log that comes in pieces. The same bytes give the same metrics, however they are cut."""

    def __init__(self) -> None:
        self._lines = LogLines()
        self._plans = Plans(read_line)
        self._bars: dict[str, _Bar] = {}
        self._rewritten = ""
        self._epoch: float | None = None

    def feed(self, data: bytes) -> list[Metric]:
        """The metrics that `data` completes. A bar's last state comes when the bar is over."""
        return [metric for line in self._lines.feed(data) for metric in self.read(line)]

    def finish(self) -> list[Metric]:
        """What is left when the log is over: its last line, and the last states of bars."""
        found = [metric for line in self._lines.finish() for metric in self.read(line)]
        found += self._commit()
        for bar in self._bars.values():
            found += bar.metrics
        self._bars.clear()
        return found

    def read(self, line: LogLine) -> list[Metric]:
        """The metrics that one line completes: for callers that cut the log into lines themselves."""
        text = line.text
        if not text or text.isspace():
            return [] if line.is_rewritten else self._commit()
        text = clean(text)
        bar = self._bar(text) if "/" in text else None
        if bar is not None:
            return self._commit() + self._place(bar)
        found = self._commit(unless=text) if self._rewritten else []
        if line.is_rewritten:
            self._rewritten = text
            return found
        return found + self._plain(text)

    def _plain(self, text: str) -> list[Metric]:
        if "poch" in text or "POCH" in text:
            heading = _HEADING.match(text)
            if heading:
                self._epoch = float(heading[1])
                return []
        return self._in_context(self._plans.metrics(text))

    def _in_context(self, metrics: list[Metric]) -> list[Metric]:
        if self._epoch is None or not metrics or metrics[0].epoch is not None or metrics[0].step is not None:
            return metrics
        return [metric._replace(epoch=self._epoch) for metric in metrics]

    def _bar(self, text: str) -> _Bar | None:
        found = (_TQDM.match(text) if "%|" in text else None) or _KERAS.match(text)
        if found is None:
            return None
        head = found.groupdict().get("head") or ""
        metrics = self._in_context(read_bar_text(head, found["rest"]))
        return _Bar(_template(head), f"{head} {found['total']} {self._epoch}", int(found["done"]), metrics)

    def _place(self, bar: _Bar) -> list[Metric]:
        before = self._bars.pop(bar.family, None)
        self._bars[bar.family] = bar
        found = list(before.metrics) if before and (before.key != bar.key or before.done > bar.done) else []
        if len(self._bars) > _MAX_BARS:
            found += self._bars.pop(next(iter(self._bars))).metrics
        return found

    def _commit(self, unless: str = "") -> list[Metric]:
        """The last state of a line that went back to its start; nothing if `unless` is a later state of the same."""
        text, self._rewritten = self._rewritten, ""
        if not text or (unless and _template(text) == _template(unless)):
            return []
        return self._plain(text)


def progress(line: str) -> Progress | None:
    """How far a clean line says the program is: `step 12/100`, `epoch 3/10`, `45%|███`. None if it doesn't say."""
    bar = _TQDM.match(line) if "%|" in line else None
    if bar is not None:
        return Progress(min(1.0, int(bar["percent"]) / 100), f"{bar['head']} {bar['percent']}%".strip())
    found = _FRACTION.search(line) if "/" in line or " of " in line else None
    if found is None or int(found[2]) == 0 or int(found[1]) > int(found[2]):
        return None
    return Progress(int(found[1]) / int(found[2]), found[0])


def _template(text: str) -> str:
    return _NUMBER.sub("#", text)
