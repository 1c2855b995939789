"""The records of the playbook format. Reading them is `loading`'s business, following them `replay`'s."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.scripted.faults import Fault
from services.scripted.placeholders import Value


def _compiled(value: Any) -> Any:
    try:
        return re.compile(value, re.MULTILINE) if isinstance(value, str) else value
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error


def _rules(value: Any) -> Any:
    return [{"goto": value}] if isinstance(value, str) else value


Regex: TypeAlias = Annotated[re.Pattern[str], BeforeValidator(_compiled)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Within(StrEnum):
    """Which outputs and user messages a rule looks at."""

    REPLY = "reply"
    """What came in since the last reply."""
    CONVERSATION = "conversation"
    """Everything that has come in; where a pattern is found several times, the latest counts."""


class When(_Record):
    """All conditions given must hold."""

    tool: str | None = None
    """Only outputs of this tool are looked at, and there must be one."""
    matches: Regex | None = None
    """Found in one of the outputs; its named groups become variables."""
    not_matches: Regex | None = None
    """Found in none of the outputs."""
    user_matches: Regex | None = None
    """Found in one of the user messages; its named groups become variables."""
    at_least: Mapping[str, float | str] = {}
    """Variable -> the number it must reach. Checked last, so it sees this rule's own captures."""
    within: Within = Within.REPLY


class Rule(_Record):
    when: When | None = None
    goto: str
    set: Mapping[str, Value] = {}


class Call(_Record):
    tool: str = Field(min_length=1)
    arguments: Mapping[str, Any] = {}


class State(_Record):
    """What is replied here, and where it goes from here. One without `say` and `call` replies nothing
    and only chooses the next; one without `next` is the end."""

    say: str = ""
    call: tuple[Call, ...] = ()
    next: Annotated[tuple[Rule, ...], BeforeValidator(_rules)] = ()
    fault: Fault | None = None

    @property
    def is_silent(self) -> bool:
        return not self.say and not self.call


class Playbook(_Record):
    name: str
    about: str
    start: str
    variables: Mapping[str, Value] = {}
    states: Mapping[str, State] = Field(min_length=1)
