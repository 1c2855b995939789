"""A measured figure, and the table and JSON of many.

Machines are shared and noisy: a figure is the median of its samples, with the 99th percentile and the spread beside it.
"""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One row. `bar` is what is asked for, `bound` says on which side of it good is, `of` which column counts."""

    name: str
    unit: str
    median: float
    p99: float
    low: float
    high: float
    samples: int
    bar: float | None = None
    bound: Literal["most", "least"] = "most"
    of: Literal["median", "p99"] = "median"

    @property
    def holds(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.bar is None:
            return None
        value = self.median if self.of == "median" else self.p99
        return value <= self.bar if self.bound == "most" else value >= self.bar


def figure(
    name: str,
    unit: str,
    samples: Sequence[float],
    bar: float | None = None,
    bound: Literal["most", "least"] = "most",
    of: Literal["median", "p99"] = "median",
) -> Figure:
    """Sum samples up."""
    ordered = sorted(samples)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return Figure(
        name, unit, statistics.median(ordered), p99, ordered[0], ordered[-1], len(ordered), bar=bar, bound=bound, of=of
    )


def machine() -> str:
    """The machine in a line."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {platform.system()}"


def table(figures: Sequence[Figure]) -> str:
    """The figures for people."""
    rows = [("figure", "median", "p99", "min … max", "n", "bar", "")]
    for one in figures:
        sign = "≤" if one.bound == "most" else "≥"
        bar = "" if one.bar is None else f"{one.of} {sign} {one.bar:g}"
        verdict = {True: "holds", False: "MISSED", None: ""}[one.holds]
        spread = f"{one.low:.4g} … {one.high:.4g} {one.unit}"
        rows.append((one.name, f"{one.median:.4g}", f"{one.p99:.4g}", spread, str(one.samples), bar, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def write(figures: Sequence[Figure], path: Path) -> None:
    """The figures for programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(one), "holds": one.holds} for one in figures]
    path.write_text(json.dumps({"machine": machine(), "figures": rows}, indent=1))
