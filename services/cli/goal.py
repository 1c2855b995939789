"""A goal as a user writes it: on the command line, in goal.yaml, or half in each."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from services.cli.problems import Usage
from services.core.needs import AskedNeeds
from services.core.records import Limits
from services.core.rules import AskedTerms

LARGEST_FILE_BYTES = 256 * 1024
_LIMITS = ", ".join(Limits.model_fields)


@dataclass(frozen=True)
class Goal:
    """What is asked. `inputs` are names in the workspace and where the files lie."""

    text: str = ""
    model: str = ""
    limits: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    inputs: tuple[tuple[str, Path], ...] = ()
    deadline: str = ""
    resources: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    fallback_model: str = ""
    effort: str = ""

    def body(self) -> dict[str, Any]:
        """The JSON that `POST /v1/runs` takes. What was not said is left to the API."""
        asked = {
            "goal": self.text,
            "model": self.model,
            "limits": self.limits,
            "labels": self.labels,
            "deadline": self.deadline,
            "resources": self.resources,
            "rules": self.rules,
            "fallback_model": self.fallback_model,
            "effort": self.effort,
        }
        return {name: value for name, value in asked.items() if value}


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    goal: str = ""
    model: str = ""
    limits: Limits | None = None
    labels: dict[str, str | int | float | bool] = {}
    inputs: list[str] = []
    deadline: str | int | float | datetime | date = ""
    resources: AskedNeeds | None = None
    rules: AskedTerms | None = None
    fallback_model: str = ""
    effort: str = ""


def read_goal(path: Path) -> Goal:
    """The goal in a YAML file. Raises `Usage` that names the file, the key and what is wrong with it."""
    try:
        document = yaml.safe_load(_text(path.name, _bytes(path)))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise Usage(f"{path}{where} is not YAML: {getattr(error, 'problem', '') or 'it cannot be parsed'}") from error
    if not isinstance(document, dict):
        raise Usage(f"{path} has to hold keys like `goal: …`; known are {', '.join(_File.model_fields)}")
    try:
        read = _File.model_validate(document)
    except ValidationError as error:
        raise Usage(f"{path}: {_complaint(error)}") from error
    limits = {} if read.limits is None else read.limits.model_dump(exclude_unset=True)
    return Goal(
        text=read.goal.strip(),
        model=read.model,
        limits=limits,
        labels={name: _label(value) for name, value in read.labels.items()},
        inputs=tuple((name, path.parent / name) for name in read.inputs),
        deadline=read.deadline.isoformat() if isinstance(read.deadline, date) else str(read.deadline),
        resources={} if read.resources is None else read.resources.model_dump(mode="json", exclude_unset=True),
        rules={} if read.rules is None else read.rules.model_dump(mode="json", exclude_unset=True),
        fallback_model=read.fallback_model,
        effort=read.effort,
    )


def with_options(
    goal: Goal,
    text: str | None,
    model: str,
    limits: Sequence[str],
    labels: Sequence[str],
    inputs: Sequence[str],
    deadline: str,
    resources: Sequence[str] = (),
) -> Goal:
    """`goal` with what was given on the command line, which wins. Raises `Usage`."""
    if text is not None and goal.text:
        raise Usage("the goal is given twice: on the command line and in the file; leave one out")
    said = goal.text if text is None else _said(text)
    if not said:
        raise Usage('the goal is empty; say what you want: cohort submit "train a classifier on …"')
    return replace(
        goal,
        text=said,
        model=model or goal.model,
        limits=goal.limits | _limits(limits),
        labels=goal.labels | dict(pair("--label", label) for label in labels),
        inputs=goal.inputs + tuple((name, Path(name)) for name in inputs),
        deadline=deadline or goal.deadline,
        resources=goal.resources | _resources(resources),
    )


def with_rules(goal: Goal, off: Sequence[str], evaluation_data: Sequence[str], cost_line: float | None) -> Goal:
    """`goal` with the rules as they were given on the command line, added to those of the file. Raises `Usage`."""
    asked = dict(goal.rules)
    if off:
        asked["waived"] = asked.get("waived", {}) | dict(pair("--without-rule", text) for text in off)
    if evaluation_data:
        asked["evaluation_data"] = [*asked.get("evaluation_data", []), *evaluation_data]
    if cost_line is not None:
        asked["cost_line_dollars"] = cost_line
    try:
        AskedTerms.model_validate(asked)
    except ValidationError as error:
        raise Usage(f"rules: {_complaint(error)}") from error
    return replace(goal, rules=asked)


def pair(option: str, text: str) -> tuple[str, str]:
    """`key=value`, in two."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Usage(f"{option} {text!r} has to look like KEY=VALUE")
    return name, value


def _limits(texts: Sequence[str]) -> dict[str, float]:
    given = dict(pair("--limit", text) for text in texts)
    for name in given:
        if name not in Limits.model_fields:
            raise Usage(f"--limit {name}: there is no such limit; there are {_LIMITS}")
    try:
        return Limits.model_validate(given).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise Usage(f"--limit {_complaint(error)}") from error


def _resources(texts: Sequence[str]) -> dict[str, Any]:
    given: dict[str, Any] = dict(pair("--resource", text) for text in texts)
    for name in given:
        if name not in AskedNeeds.model_fields:
            raise Usage(f"--resource {name}: there is no such thing; there are {', '.join(AskedNeeds.model_fields)}")
    if "pool" in given:
        given["pool"] = given["pool"].split(",")
    try:
        return AskedNeeds.model_validate(given).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        raise Usage(f"--resource {_complaint(error)}") from error


def _said(text: str) -> str:
    if text != "-":
        return text.strip()
    return _text("the goal on stdin", sys.stdin.buffer.read(LARGEST_FILE_BYTES + 1)).strip()


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE_BYTES + 1)


def _text(name: str, data: bytes) -> str:
    if len(data) > LARGEST_FILE_BYTES:
        raise Usage(f"{name} is larger than {LARGEST_FILE_BYTES // 1024} KiB; data belongs into --input")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Usage(f"{name} is not text in UTF-8; data belongs into --input") from error
    if "\0" in text:
        raise Usage(f"{name} is not text: it holds a NUL byte; data belongs into --input")
    return text


def _label(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][:2])
    if first["type"] == "extra_forbidden":
        kinds: dict[str, type[BaseModel]] = {"limits": Limits, "resources": AskedNeeds, "rules": AskedTerms}
        known = ", ".join(kinds.get(name.partition(".")[0], _File).model_fields)
        return f"there is no key {name!r}; known are {known}"
    return f"{name}: {first['msg']}"
