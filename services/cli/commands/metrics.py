"""`cohort metrics --log FILE`: the series in what a program wrote. Needs no server."""

import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from services.core.metric_table import MetricTable
from services.core.series import Metric, SeriesParser

_PIECE = 1 << 20


def run(options: Namespace) -> int:
    """Print every value with `--json`, one object a line, and a summary of each series without."""
    found = _metrics(options.log)
    if options.json:
        for metric in found:
            print(json.dumps(_wire(metric)))
        return 0
    table = MetricTable()
    table.add(found)
    for row in table.rows():
        print(row)
    if table.left_out:
        print(f"({table.left_out} values of more series are left out)")
    if not table.series:
        print("no metrics found", file=sys.stderr)
    return 0


def _metrics(name: str) -> Iterator[Metric]:
    parser = SeriesParser()
    with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
        while piece := file.read(_PIECE):
            yield from parser.feed(piece)
    yield from parser.finish()


def _wire(metric: Metric) -> dict[str, Any]:
    """Without the coordinates that the log does not give; JSON has no NaN, so it is written as text."""
    known: Iterable[tuple[str, Any]] = ((key, value) for key, value in metric._asdict().items() if value is not None)
    return {key: value if key != "value" or math.isfinite(value) else str(value) for key, value in known}
