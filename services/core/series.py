"""The series in a raw log: metrics and progress, in one pass over its bytes, however they are cut, in constant memory.

Standard library only: the runner has it too. What is on one line is read in `metric_styles`; here is what takes more
than one line: bars that rewrite themselves, tables, and headings that say where the lines below them belong. Lines of
a form that was seen before are filled in by position, without looking at what they say.
"""

import re
from collections import deque

from services.core.loglines import MAX_LINE_BYTES, clean
from services.core.metric_bars import Bar, BarLine, bar_in, bar_line_of
from services.core.metric_columns import BARS, Box, Columns, cells_of, header_in, is_rule
from services.core.metric_context import Context
from services.core.metric_drawn import Drawn, is_evaluation
from services.core.metric_forms import Forms
from services.core.metric_places import Metric
from services.core.metric_styles import NOTHING, Reading, read
from services.core.progress import Progress, progress

__all__ = ["Metric", "Progress", "SeriesParser", "progress"]

_ENDS = re.compile(rb"([\r\x08]*+\n+|[\r\x08]+)")
_MAX_BARS = 32
_RECENT_LINES = 20
# So many other lines may stand between two rows of a table.
_MOST_OTHERS = 200
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_HEADING = re.compile(
    r"[^\w=]{0,100}(?:(?:starting|begin|end of|training|evaluating|global|train|eval|validation)[\W_]{1,4})?"
    r"(?:(?:step|iter(?:ation)?|batch|update|round|episode|epoch|fold|trial)s?\b[\W\d]{1,40}(?:of[\W\d]{1,20})?){1,4}",
    re.IGNORECASE,
)
# Several writers of one line: each begins with who it is, or with a record of its own.
_GLUED = re.compile(
    r"(?<=[\w%)\]}])\s?(?=\[(?:rank|RANK|Rank|default)[ :]?\d{1,6}\]|\[\d{1,4},\d{1,4}\]<std)|(?<=\})\s?(?=\{['\"])"
)


class SeriesParser:
    """Finds metrics in a log that comes in pieces. The same bytes give the same metrics, however they are cut."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._forms = Forms(read)
        self._context = Context()
        self._bars: dict[str, Drawn] = {}
        self._bar_line: BarLine | None = None
        self._columns: Columns | None = None
        self._others = 0
        self._box = Box()
        self._rewritten = ""
        self._is_erased = False
        # Printed while a bar was taken away for it: the bar tells the step when it is drawn again.
        self._held: list[Metric] = []
        self._recent: deque[bytes] = deque(maxlen=_RECENT_LINES)
        self._out: list[Metric] = []

    def feed(self, data: bytes) -> list[Metric]:
        """The metrics that `data` completes. A bar's last state comes when the bar is over."""
        parts = _ENDS.split(data)
        self._keep(parts[0])
        if len(parts) > 1:
            parts[0] = bytes(self._kept)
            self._kept.clear()
            self._keep(parts[-1])
            self._lines(parts)
        return self._taken()

    def finish(self) -> list[Metric]:
        """What is left when the log is over: its last line, and the last states of bars."""
        if self._kept:
            self._lines([bytes(self._kept), b"\n"])
            self._kept.clear()
        self._moved()
        self._commit()
        self._close_box()
        self._release()
        for family in list(self._bars):
            self._end(family)
        return self._taken()

    def running(self) -> list[Metric]:
        """The metrics that bars show now, of which only the last state of each will count. Depends on the cut."""
        self._moved()
        found = []
        for drawn in self._bars.values():
            metrics = drawn.metrics() if drawn.bar.done else []
            found += [metric._replace(step=int(drawn.bar.done)) for metric in metrics]
        return found

    def progress(self) -> Progress | None:
        """How far the program said it is in the lines since the last call; None if it said nothing."""
        while self._recent:
            found = progress(clean(self._recent.pop().decode(errors="replace")))
            if found is not None:
                self._recent.clear()
                return found
        return None

    def _keep(self, piece: bytes) -> None:
        self._kept += piece[: MAX_LINE_BYTES - len(self._kept)]

    def _taken(self) -> list[Metric]:
        found, self._out = self._out, []
        return found

    def _lines(self, parts: list[bytes]) -> None:
        """Read lines, each followed by what ended it."""
        for at in range(0, len(parts) - 1, 2):
            line, is_rewritten = parts[at], not parts[at + 1].endswith(b"\n")
            if not line:
                if self._rewritten and not is_rewritten:
                    self._commit()
            elif (self._bar_line is None or not self._bar_line.moves_to(line)) and (
                is_rewritten or not self._filled(line)
            ):
                self._moved()
                self._line(line[:MAX_LINE_BYTES], is_rewritten)
        self._recent.extend(parts[max(0, len(parts) - 1 - 2 * _RECENT_LINES) & ~1 : -1 : 2])

    def _filled(self, line: bytes) -> bool:
        """Whether the line is of a form that is known, and stands in no table and no bar; what it tells is taken."""
        if self._rewritten or self._held or self._columns or self._box or self._is_erased:
            return False
        reading = self._forms.filled(line)
        if reading is None:
            return False
        if reading is not NOTHING:
            if self._bar_line is not None and self._context.is_changed_by(reading.place):
                self._moved()
            self._context.told(reading)
            self._tell(reading)
        return True

    def _moved(self) -> None:
        """Take the last state of a bar that has gone on, before anything else is read."""
        line, self._bar_line = self._bar_line.line if self._bar_line else b"", None
        bar = bar_in(clean(line.decode(errors="replace"))) if line else None
        if bar is not None:
            self._drawn(bar)

    def _line(self, line: bytes, is_rewritten: bool) -> None:
        text = clean(line.decode(errors="replace")).replace("\n", " ")
        if not text or text.isspace():
            self._blank(is_rewritten)
            return
        bar = bar_in(text)
        if bar is not None:
            self._commit()
            self._drawn(bar)
            if not bar.after:
                self._bar_line = None if bar.of_epochs else bar_line_of(line)
                return
            line, text = b"", bar.after
        elif is_rewritten or self._rewritten:
            self._commit(unless=text)
            if is_rewritten:
                self._rewritten = text
                return
        self._text(text, line)
        self._is_erased = False

    def _blank(self, is_rewritten: bool) -> None:
        if not is_rewritten:
            self._commit()
        elif self._bars:
            self._is_erased = True

    def _commit(self, unless: str = "") -> None:
        """Read the last state of a line that went back to its start; not if `unless` is a later state of the same."""
        text, self._rewritten = self._rewritten, ""
        if text and not (unless and _template(text) == _template(unless)):
            self._text(text, b"")
            self._is_erased = False

    def _text(self, text: str, line: bytes) -> None:
        self._release()
        if "}" in text or "[" in text or "rank" in text:
            pieces = _GLUED.split(text)
            if len(pieces) > 1:
                for piece in pieces:
                    if piece.strip():
                        self._plain(piece, b"")
                return
        self._plain(text, line)

    def _plain(self, text: str, line: bytes) -> None:
        if self._table(text):
            return
        self._close_box()
        if " = " in text:
            self._context.steps_told(text)
        if _HEADING.fullmatch(text):
            self._context.headed(read(text))
            return
        reading = self._forms.read(text, line)
        self._context.told(reading)
        self._tell(reading)

    def _table(self, text: str) -> bool:
        """Whether the line is part of a table; what it tells is taken."""
        if any(bar in text[:4] for bar in BARS) and self._box.add(cells_of(text, "|")):
            return True
        if self._columns is not None:
            row = self._columns.row(text, is_placed=self._context.epoch() is not None)
            if row is not None:
                self._others = 0
                self._context.told(row)
                if row.values:
                    self._out += self._context.new(self._context.placed(row.metrics()))
                return True
            if not is_rule(text):
                self._others += 1
                if self._others > _MOST_OTHERS:
                    self._columns = None
        header = header_in(text) if len(text) < 1_000 else None
        if header is not None:
            self._columns, self._others = header, 0
            return True
        return False

    def _close_box(self) -> None:
        if self._box:
            self._tell(self._box.close())

    def _tell(self, reading: Reading) -> None:
        if not reading.values:
            return
        metrics = self._context.placed(reading.metrics())
        first = metrics[0]
        if first.step is None and first.epoch is not None:
            step = self._context.step_at(first.epoch)
            if step is not None:
                metrics = [metric._replace(step=step) for metric in metrics]
            self._context.remember(metrics)
        if self._is_erased and metrics[0].step is None:
            self._held = metrics
        else:
            self._out += metrics

    def _release(self, bar: Bar | None = None) -> None:
        """Let go what was held: with the step that the bar shows, if it is one that had been there before."""
        held, self._held = self._held, []
        if held and bar is not None:
            known = self._bars.get(bar.family)
            if known is not None and known.bar.key == bar.key and known.bar.done <= bar.done:
                held = [metric._replace(step=int(bar.done)) for metric in held]
        self._out += held

    def _drawn(self, bar: Bar) -> None:
        self._release(bar)
        self._is_erased = False
        before = self._bars.get(bar.family)
        if before is None or before.bar.key != bar.key or before.bar.done > bar.done:
            self._begun(bar, before)
        elif before.epoch != self._context.epoch():
            self._end(bar.family)
        elif bar.of_epochs and before.bar.done != bar.done:
            # What stands there first is of the epoch that was just counted.
            self._out += before._replace(bar=bar).metrics()
        known = self._bars.get(bar.family)
        self._bars[bar.family] = (
            known._replace(bar=bar)
            if known
            else Drawn(bar, self._context.epoch(), self._columns, is_evaluation(bar, before, self._context.epoch()))
        )
        if len(self._bars) > _MAX_BARS:
            self._end(next(iter(self._bars)))

    def _begun(self, bar: Bar, before: Drawn | None) -> None:
        """A new bar: what it is headed with is the heading of what is printed beside it."""
        if before is not None:
            self._end(bar.family)
        if bar.head:
            header = header_in(bar.head)
            if header is not None:
                self._columns, self._others = header, 0
            self._context.told(Reading(read(bar.head).place._replace(step=None)))

    def _end(self, family: str) -> None:
        drawn = self._bars.pop(family)
        # A bar at its beginning shows what another measured; each state of one of epochs has been told.
        if drawn.bar.done and not drawn.bar.of_epochs:
            metrics = drawn.metrics()
            self._context.remember(metrics)
            self._out += metrics


def _template(text: str) -> str:
    return _NUMBER.sub("#", text)
