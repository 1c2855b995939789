"""Records what this version writes, for later versions to read: `python -m tests.core.recording`.

Writes only what is missing: what an earlier version has recorded stays as it is. A kind that got new fields is recorded
once more beside it, as `<kind>.2.json`; a record with a `version` under that version.
"""

import json
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from services.core import events as ev
from services.core.apikeys import KeyRecord
from services.core.archive import RunRecords
from services.core.commands import Order, Outcome
from services.core.manifest import Manifest, Parcel, Version
from services.core.observations import FinishReport, Observations
from services.core.pool_states import Published
from services.core.record import Versioned
from services.core.records import RunState

PLACE = Path(__file__).parent / "recorded"
VERSIONED: tuple[type[Versioned], ...] = (RunState, KeyRecord, RunRecords, Published)
PLAIN: tuple[type[BaseModel], ...] = (FinishReport, Observations, Order, Outcome, Manifest, Version, Parcel)
EVENTS = {kind: model for kind, model in ev.KINDS.items() if model is not ev.Unknown}

_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_RUN = "r0123456789ab"
_KNOWN = {
    "attempt": f"{_RUN}-train-1",
    **dict.fromkeys(("run", "research"), _RUN),
    **dict.fromkeys(("sha256", "prompt_sha256", "digests"), _SHA256),
    **dict.fromkeys(("snapshot", "input_snapshot", "restores", "checkpoint"), _SHA256),
}


def recordings(name: str) -> list[Path]:
    """What was recorded of a kind, oldest first."""
    return sorted(PLACE.glob(f"*/{name}.json")) + sorted(PLACE.glob(f"*/{name}.[0-9]*.json"))


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """The names of every field in a JSON value, `limits.turns` and so on; those of all items of a list together."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{prefix}{name}"
            yield from paths(inner, f"{prefix}{name}.")
    if isinstance(value, list):
        for inner in value:
            yield from paths(inner, prefix)


def example(model: type[BaseModel]) -> dict[str, Any]:
    """One of the kind, with a value in every field."""
    return {
        name: field.default if name == "version" else _value(field.annotation, name)
        for name, field in model.model_fields.items()
    }


def _value(kind: Any, name: str) -> Any:
    origin, inner = get_origin(kind), [each for each in get_args(kind) if each not in (types.NoneType, Ellipsis)]
    if origin in (Annotated, Union, types.UnionType):
        return _value(inner[0], name)
    if origin is Literal:
        return inner[-1]
    if origin in (list, tuple):
        return [_value(inner[0], name)]
    if origin is dict:
        return {"train": _value(inner[1], name)}
    if kind is Any:
        return {"a": [1, "two", None]}
    if issubclass(kind, Enum):
        return list(kind)[-1].value
    if issubclass(kind, BaseModel):
        return example(kind)
    plain = {bool: True, int: 7, float: 0.5, str: _KNOWN.get(name, f"some {name}"), bytes: "aGVsbG8="}
    return plain[kind]


def file_name(model: type[BaseModel]) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in model.__name__).strip("_")


def _record(folder: str, name: str, model: type[BaseModel]) -> None:
    found = recordings(name)
    wanted = example(model)
    known = {path for one in found for path in paths(json.loads(one.read_text()))}
    if set(paths(wanted)) <= known:
        return
    target = PLACE / folder / (f"{name}.{len(found) + 1}.json" if found else f"{name}.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    text = model.model_validate_json(json.dumps(wanted)).model_dump_json(indent=1)
    target.write_text(text + "\n")


def main() -> None:
    for kind, event in EVENTS.items():
        _record("events", kind, event)
    for record in PLAIN:
        _record("records", file_name(record), record)
    for versioned in VERSIONED:
        _record("records", f"{file_name(versioned)}.v{versioned.model_fields['version'].default}", versioned)


if __name__ == "__main__":
    main()
