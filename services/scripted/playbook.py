"""Playbooks: the records of the format, and loading them from a directory.

A playbook is `DIRECTORY/NAME/playbook.yaml` with the files it quotes beside it. Reading checks
everything that can be known without a conversation; what a playbook does is `replay`'s business.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.scripted.faults import Fault
from services.scripted.placeholders import Value, names_in, verbatim

NAME = re.compile(r"[a-z][a-z0-9-]*")
FILE_NAME = "playbook.yaml"
PROVIDED = frozenset({"turn"})
"""Variables that `replay` sets itself."""


class PlaybookInvalid(Exception):
    """A playbook can't be used; the text names the file, the key and what is wrong with it."""


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

    def with_files(self, directory: Path) -> Self:
        """A copy in which each `{file: PATH}` argument is that file's text. Raises PlaybookInvalid."""
        states = {name: _state_with_files(state, directory) for name, state in self.states.items()}
        return self.model_copy(update={"states": states})


def load_playbooks(directory: Path) -> dict[str, Playbook]:
    """Read every playbook in `directory`, by name. Raises PlaybookInvalid; an empty directory is invalid too."""
    sources = sorted(directory.glob(f"*/{FILE_NAME}"))
    if not sources:
        raise PlaybookInvalid(f"{directory}: no playbooks here; each is a directory with a {FILE_NAME} in it")
    return {source.parent.name: load_playbook(source) for source in sources}


def load_playbook(source: Path) -> Playbook:
    """Read one playbook file. Raises PlaybookInvalid."""
    name = source.parent.name
    if not NAME.fullmatch(name):
        raise PlaybookInvalid(f"{source}: the directory's name is the playbook's and must match {NAME.pattern}")
    try:
        raw = yaml.load(source.read_text(encoding="utf-8"), Loader=_UniqueKeys)
        if not isinstance(raw, dict):
            raise PlaybookInvalid(f"{source}: must be a mapping with the keys about, start and states")
        if "name" in raw:
            raise PlaybookInvalid(f"{source}: name: unknown key; the directory's name is the playbook's")
        playbook = Playbook.model_validate({**raw, "name": name}).with_files(source.parent)
    except yaml.YAMLError as error:
        raise PlaybookInvalid(f"{source}: not YAML: {error}") from error
    except ValidationError as error:
        raise PlaybookInvalid(
            "\n".join(f"{source}: {_where(one['loc'])}: {one['msg']}" for one in error.errors())
        ) from error
    problems = list(_problems(playbook))
    if problems:
        raise PlaybookInvalid("\n".join(f"{source}: {problem}" for problem in problems))
    return playbook


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader, but a key given twice in one mapping is an error instead of the later one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _state_with_files(state: State, directory: Path) -> State:
    calls = tuple(call.model_copy(update={"arguments": _with_files(call.arguments, directory)}) for call in state.call)
    return state.model_copy(update={"call": calls})


def _with_files(value: Any, directory: Path) -> Any:
    match value:
        case {"file": str(path), **options} if options in ({}, {"fill": True}):
            text = _text_of(directory, path)
            return text if options else verbatim(text)
        case Mapping():
            return {key: _with_files(inner, directory) for key, inner in value.items()}
        case list() | tuple():
            return [_with_files(inner, directory) for inner in value]
        case _:
            return value


def _text_of(directory: Path, path: str) -> str:
    file = (directory / path).resolve()
    if not file.is_relative_to(directory.resolve()) or not file.is_file():
        raise PlaybookInvalid(f"{directory / FILE_NAME}: file: {path}: no such file in the playbook's directory")
    return file.read_text(encoding="utf-8")


def _problems(playbook: Playbook) -> Iterator[str]:
    states = playbook.states
    if playbook.start not in states:
        yield f"start: there is no state {playbook.start!r}"
    known = PROVIDED | playbook.variables.keys() | {name for state in states.values() for name in _set_by(state)}
    aimed_at = {playbook.start} | {rule.goto for state in states.values() for rule in state.next}
    for name, state in states.items():
        where = f"states.{name}"
        if name not in aimed_at:
            yield f"{where}: nothing leads here"
        if state.is_silent and not state.next:
            yield f"{where}: has neither say, call nor next"
        if state.is_silent and state.fault:
            yield f"{where}.fault: only a state that replies can have one"
        for variable in sorted(PROVIDED.intersection(_set_by(state))):
            yield f"{where}.next: {variable} is set by the scripted model and can't be set here"
        for variable in sorted(_used_by(state) - known):
            yield f"{where}: ${{{variable}}} is set nowhere"
        for index, rule in enumerate(state.next):
            if rule.goto not in states:
                yield f"{where}.next.{index}.goto: there is no state {rule.goto!r}"
            if rule.when is None and index < len(state.next) - 1:
                yield f"{where}.next.{index}: always holds, so the rules after it are never reached"


def _set_by(state: State) -> Iterator[str]:
    for rule in state.next:
        yield from rule.set
        if rule.when:
            for pattern in (rule.when.matches, rule.when.user_matches):
                yield from pattern.groupindex if pattern else ()


def _used_by(state: State) -> set[str]:
    used = names_in(state.say) | names_in([call.arguments for call in state.call])
    for rule in state.next:
        used |= names_in(rule.set)
        if rule.when:
            used |= rule.when.at_least.keys() | names_in(rule.when.at_least)
    return used
