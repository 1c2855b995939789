"""What Grafana's Infinity data source makes of an answer, as its backend does it: root selector, columns, types.

As much of gjson's paths as the dashboards use: names with dots between, `#` for each of an array, `|@flatten` behind.
"""

import re
from collections.abc import Mapping
from typing import Any

Target = Mapping[str, Any]

_FLATTEN = "|@flatten"


def rows(answer: Any, target: Target) -> list[dict[str, Any]]:
    """The rows of a query's frame, by the columns' names. What is not there, or cannot be read as its type, is None."""
    found = _rooted(answer, target["root_selector"])
    return [
        {column["text"]: _typed(_at(row, column["selector"]), column["type"]) for column in target["columns"]}
        for row in (found if isinstance(found, list) else [found])
    ]


def _rooted(answer: Any, selector: str) -> Any:
    if not selector:
        return answer
    found = _at(answer, selector.removesuffix(_FLATTEN))
    assert found is not None, f"the answer has no {selector}"
    return [item for items in found for item in items] if selector.endswith(_FLATTEN) else found


def _at(value: Any, path: str) -> Any:
    head, _, rest = path.partition(".")
    if head == "#":
        return [_at(item, rest) for item in value]
    found = value.get(head) if isinstance(value, dict) else None
    return _at(found, rest) if rest else found


def _typed(value: Any, kind: str) -> Any:
    match kind:
        case "string":
            return None if value is None or isinstance(value, dict | list) else str(value)
        case "number":
            is_number = isinstance(value, float | int) or re.fullmatch(r"NaN|-?Infinity", str(value))
            return float(value) if is_number else None
        case "timestamp_epoch_s":
            return int(value) if isinstance(value, float | int) else None
        case _:
            raise AssertionError(f"no column is of type {kind}")
