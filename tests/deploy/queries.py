"""What dashboards and rules ask of Prometheus, taken apart: which metric, with which labels."""

import json
import re
from collections.abc import Iterator
from typing import Any

from deploy.grafana.boards import DIRECTORY

Board = dict[str, Any]
Panel = dict[str, Any]

# Not what rules record: those names have colons in them.
_SELECTOR = re.compile(r"(?<![:\w])((?:cohort|process)_\w+)\b(?!:)(?:\{([^{}]*(?:\{[a-z:]+\}[^{}]*)*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


def boards() -> list[Board]:
    """Every dashboard as it is committed."""
    return [json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))]


def panels(board: Board) -> list[Panel]:
    """The panels of a dashboard, without its headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def matched(expr: str) -> Iterator[tuple[str, list[str]]]:
    """Each metric that an expression selects, with the labels that it matches."""
    for name, matchers in _SELECTOR.findall(_GROUPING.sub("", expr)):
        yield name, _MATCHER.findall(matchers)


def grouped(expr: str) -> set[str]:
    """The labels that an expression groups or matches by."""
    return {label.strip() for labels in _GROUPING.findall(expr) for label in labels.split(",") if label.strip()}
