"""Tables: a header that names columns, and rows of numbers below it; and boxes with a name and a number in each row.

Pure functions and values. Separators are bars of any kind, commas, tabs, or blanks.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from services.core.metric_names import is_measure, is_series
from services.core.metric_pairs import NUMBER, number
from services.core.metric_places import place_of
from services.core.metric_styles import Reading, Value

BARS = "│┃|║"
_BAR = re.compile(rf"[{BARS}]")
_RULE = re.compile(r"[\s|+:=─━═╌┄╍-╿┏┓┗┛┣┫┳┻╋┡┩╇┿┠┨└┘┌┐├┤┬┴┼╞╡╪*_-]{3,}")
_NAME = re.compile(r"[A-Za-z_@%#][\w@./()\[\]'%*#:+ -]{0,60}")
_CELL = re.compile(rf"(?P<number>{NUMBER})\s?(?P<unit>%)?(?:/\d{{1,9}})?|\d{{1,9}}/\d{{1,9}}")
_HAS_NUMBER = re.compile(r"(?<![\w@.])[-+]?\.?\d")
_WIDE = re.compile(r"\s{2,}")
_PLACES = frozenset(
    {*("epoch", "step", "iter", "iteration", "round", "trial", "fold", "global_step", "it", "batch", "update", "#")}
    | {*("epochs", "steps", "timestep", "timesteps", "episode", "total_timesteps", "gen", "generation")}
)
_PROSE = frozenset({"the", "a", "is", "of", "and", "to", "in", "for", "with", "at", "on", "not", "from"})
_MOST_COLUMNS = 100


class Columns(NamedTuple):
    """A header: its names, and what separates them: a bar, a comma, a tab, or a blank."""

    names: tuple[str, ...]
    separator: str

    def row(self, text: str, *, is_placed: bool = False) -> Reading | None:
        """What a row of the table tells; None for a line that is none. `is_placed`: its place is known elsewhere."""
        cells = cells_of(text, self.separator)
        extra = len(cells) - len(self.names)
        if self.separator == " " and extra == 1:
            # A frame of pandas has its index in front.
            cells = cells[1:]
        elif extra:
            return None
        found = [_CELL.fullmatch(cell) for cell in cells]
        named = [(name, cell) for name, cell in zip(self.names, found, strict=True) if cell]
        if not named or len(cells) > _MOST_COLUMNS:
            return None
        if self.separator == " " and 2 * len(named) <= len(cells):
            return None
        places = {_place_name(name): _whole_number(cell) for name, cell in named if _is_place(name)}
        if _is_place(self.names[0]) and not found[0]:
            return None
        place = place_of(places)
        values = [
            Value("_".join(name.split()), number(cell["number"]), cell["unit"])
            for name, cell in named
            if not _is_place(name)
            and cell["number"]
            and (is_series if is_placed or place.is_known else is_measure)(name)
        ]
        return Reading(place, tuple(values))


def header_in(text: str) -> Columns | None:
    """The columns that a clean line names, None where it names none that measure."""
    if _HAS_NUMBER.search(text):
        return None
    for separator in ("|", ",", "\t", " "):
        if (separator == "|" and not _BAR.search(text)) or (separator in ",\t" and separator not in text):
            continue
        cells = cells_of(text, separator)
        if 2 <= len(cells) <= _MOST_COLUMNS and _names_columns(cells, separator):
            return Columns(tuple(cells), separator)
    return None


def cells_of(text: str, separator: str) -> list[str]:
    """The cells of a line of a table, without the blanks around them."""
    if separator == "|":
        parts = _BAR.split(text.strip())
        return [part.strip() for part in (parts[1:] if not parts[0] else parts)[: -1 if not parts[-1] else None]]
    if separator == " ":
        wide = _WIDE.split(text.strip())
        return wide if len(wide) > 1 and all(_NAME.fullmatch(cell) for cell in wide) else text.split()
    return [cell.strip().strip('"') for cell in text.split(separator)]


def is_rule(text: str) -> bool:
    """Whether a line only draws the frame of a table."""
    return _RULE.fullmatch(text) is not None


class Box:
    """Rows of a name and a number, as loggers of reinforcement learning frame them; read when its frame is closed."""

    def __init__(self) -> None:
        self._rows: list[Value] = []
        self._section = ""

    def __bool__(self) -> bool:
        return bool(self._rows) or bool(self._section)

    def add(self, cells: Sequence[str]) -> bool:
        """Take a row; False if it is none of a box."""
        if len(cells) != 2 or not _NAME.fullmatch(cells[0]) or len(self._rows) >= _MOST_COLUMNS:
            return False
        name, text = cells
        if not text and name.endswith("/"):
            self._section = name
            return True
        cell = _CELL.fullmatch(text)
        if cell is None or not cell["number"]:
            return False
        self._rows.append(Value(self._section + "_".join(name.split()), number(cell["number"]), cell["unit"]))
        return True

    def close(self) -> Reading:
        """What the box told; it is empty after that."""
        place = place_of({row.name.rpartition("/")[2]: row.value for row in reversed(self._rows)})
        has_sections = bool(self._section)
        values = [row for row in self._rows if has_sections or (is_series if place.is_known else is_measure)(row.name)]
        self._rows, self._section = [], ""
        return Reading(place, tuple(values))


def _names_columns(cells: Sequence[str], separator: str) -> bool:
    if not all(_NAME.fullmatch(cell) or (not cell and separator == "|") for cell in cells):
        return False
    measures = sum(is_measure(cell) for cell in cells)
    places = sum(_is_place(cell) for cell in cells)
    if separator == " ":
        # Prose has words in a row, too: a table begins with what it counts, or names little but measures.
        return (any(map(_is_place, cells[:2])) and measures > 0) or (
            measures > 1 and (measures * 2 > len(cells) or (len(cells) > 3 and set(cells).isdisjoint(_PROSE)))
        )
    if separator == ",":
        return measures > 0 and places > 0 and not any(" " in cell for cell in cells)
    return measures > 0 or (places > 0 and len(cells) > 2)


def _is_place(name: str) -> bool:
    return name.lower() in _PLACES


def _place_name(name: str) -> str:
    low = name.lower()
    return {"iteration": "iteration", "gen": "iteration", "generation": "iteration", "#": "iteration"}.get(
        low, low.removesuffix("s") if low in ("epochs", "steps", "timesteps") else low
    )


def _whole_number(cell: re.Match[str]) -> float:
    return number(cell["number"] or cell[0].partition("/")[0])
