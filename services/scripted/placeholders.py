"""`${name}` in a playbook's texts: finding and filling.

`${name}` becomes the variable's text. `${name:int}`, `${name:float}` and `${name:int-8}` cast it and,
for an int, add or subtract; a string that is nothing but such a cast becomes a number. `$${` stands
for a literal `${`.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float

_PLACE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<name>\w+)(?::(?P<cast>int|float)(?P<add>(?<=int)[+-]\d+)?)?\}")


class Unfillable(Exception):
    """A placeholder names a variable that is not set, or one whose text is not the number asked for."""


def fill(value: Any, variables: Mapping[str, Value]) -> Any:
    """Return `value` with each placeholder in it filled, at any depth of lists and mappings.

    Raises Unfillable.
    """
    match value:
        case str():
            return _fill_text(value, variables)
        case dict():
            return {key: fill(inner, variables) for key, inner in value.items()}
        case list() | tuple():
            return [fill(inner, variables) for inner in value]
        case _:
            return value


def names_in(value: Any) -> set[str]:
    """The variables that the placeholders in `value` ask for."""
    match value:
        case str():
            return {found["name"] for found in _PLACE.finditer(value) if not found["escaped"]}
        case dict():
            return set().union(*(names_in(inner) for inner in value.values()))
        case list() | tuple():
            return set().union(*(names_in(inner) for inner in value))
        case _:
            return set()


def verbatim(text: str) -> str:
    """Escape `text` so that `fill` gives it back unchanged."""
    return text.replace("${", "$${")


def number(name: str, variables: Mapping[str, Value]) -> float:
    """The variable as a number. Raises Unfillable."""
    return float(_cast(name, _lookup(name, variables), "float"))


def _fill_text(text: str, variables: Mapping[str, Value]) -> Value:
    if "${" not in text:
        return text
    whole = _PLACE.fullmatch(text)
    if whole and whole["cast"]:
        return _value_of(whole, variables)
    return _PLACE.sub(lambda found: str(_value_of(found, variables)), text)


def _value_of(found: re.Match[str], variables: Mapping[str, Value]) -> Value:
    if found["escaped"]:
        return "${"
    value = _lookup(found["name"], variables)
    if not found["cast"]:
        return value
    return _cast(found["name"], value, found["cast"]) + int(found["add"] or 0)


def _lookup(name: str, variables: Mapping[str, Value]) -> Value:
    if name not in variables:
        raise Unfillable(f"${{{name}}} is not set here; no rule on the way has captured it")
    return variables[name]


def _cast(name: str, value: Value, cast: str) -> int | float:
    try:
        return int(value) if cast == "int" else float(value)
    except ValueError as error:
        raise Unfillable(f"${{{name}:{cast}}} is {value!r}, which is not a number") from error
