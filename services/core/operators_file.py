"""Files in YAML that an operator writes: read whole, and refused with the file's name, the field and what is wrong."""

from collections.abc import Callable, Hashable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from services.core.errors import BadRequest

_MOST_BYTES = 2**20


class Entry(BaseModel):
    """A part of such a file. What it does not know is an error: a typo must not silently mean the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


E = TypeVar("E", bound=Entry)
T = TypeVar("T")


def load(path: Path, parse: Callable[[object], T], setting: str) -> T:
    """What `parse` makes of the file, which the setting of that name names. Raises `BadRequest`."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise BadRequest(f"{path}: it may have at most {_MOST_BYTES} bytes", field=setting)
        return parse(yaml.load(text, _Loader))  # noqa: S506, a safe loader
    except OSError as error:
        raise BadRequest(f"{path}: {error.strerror}", field=setting) from error
    except yaml.YAMLError as error:
        raise BadRequest(f"{path}: this is no YAML: {' '.join(str(error).split())}", field=setting) from error
    except BadRequest as error:
        raise BadRequest(f"{path}: {error}", error.field) from error


def read(value: object, kind: type[E], kinds: Sequence[type[BaseModel]]) -> E:
    """What is in a parsed file; `kinds` are those whose keys may be meant. Raises `BadRequest`."""
    if not isinstance(value, dict):
        raise BadRequest(f"it is to be a mapping with the keys {', '.join(kind.model_fields)}")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        where = f"{field}: " if field else ""
        raise BadRequest(f"{where}{_complaint(first, kinds)}", field) from error


class _Loader(yaml.SafeLoader):
    """Safe, and a key that is given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key} is given twice on line {node.start_mark.line + 1} and after")
        return super().construct_mapping(node, deep)


def _complaint(error: Any, kinds: Sequence[type[BaseModel]]) -> str:
    """One of pydantic's errors in words; a key that is nearly one of ours is told which."""
    if error["type"] != "extra_forbidden":
        return str(error["msg"]).removeprefix("Value error, ")
    known = [name for kind in kinds for name in kind.model_fields]
    near = get_close_matches(str(error["loc"][-1]), known, 1)
    return f"no such key{f'; do you mean {near[0]}?' if near else ''}"
