"""Reading playbooks from a directory: `DIRECTORY/NAME/playbook.yaml` with the files it quotes beside it.

Everything about a playbook that can be known without a conversation is checked here.
"""

import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from services.scripted.placeholders import names_in, verbatim
from services.scripted.playbook import Playbook, State

NAME = re.compile(r"[a-z][a-z0-9-]*")
FILE_NAME = "playbook.yaml"
PROVIDED = frozenset({"turn"})
"""Variables that `replay` sets itself."""


class PlaybookInvalid(Exception):
    """A playbook can't be used; the text names the file, the key and what is wrong with it."""


def load_playbooks(*directories: Path) -> dict[str, Playbook]:
    """Read every playbook in these directories, by name. Raises PlaybookInvalid; an empty directory is invalid too, and
    so is a name that is given twice."""
    playbooks: dict[str, Playbook] = {}
    for directory in directories:
        sources = sorted(directory.glob(f"*/{FILE_NAME}"))
        if not sources:
            raise PlaybookInvalid(f"{directory}: no playbooks here; each is a directory with a {FILE_NAME} in it")
        for source in sources:
            if source.parent.name in playbooks:
                raise PlaybookInvalid(f"{source}: there already is a playbook of that name; give it another")
            playbooks[source.parent.name] = load_playbook(source)
    return playbooks


def load_playbook(source: Path) -> Playbook:
    """Read one playbook file. Raises PlaybookInvalid."""
    name = source.parent.name
    if not NAME.fullmatch(name):
        raise PlaybookInvalid(f"{source}: the directory's name is the playbook's and must match {NAME.pattern}")
    try:
        raw = yaml.load(source.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a safe loader by descent
        if not isinstance(raw, dict):
            raise PlaybookInvalid(f"{source}: must be a mapping with the keys about, start and states")
        if "name" in raw:
            raise PlaybookInvalid(f"{source}: name: unknown key; the directory's name is the playbook's")
        playbook = _with_files(Playbook.model_validate({**raw, "name": name}), source.parent)
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
        # What `<<` merges may be given again: that is what it is for.
        given = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=True) for key in given]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _with_files(playbook: Playbook, directory: Path) -> Playbook:
    """The playbook with the text of each `{file: PATH}` argument in its place."""
    states = {}
    for name, state in playbook.states.items():
        calls = [call.model_copy(update={"arguments": _filed(call.arguments, directory)}) for call in state.call]
        states[name] = state.model_copy(update={"call": tuple(calls)})
    return playbook.model_copy(update={"states": states})


def _filed(value: Any, directory: Path) -> Any:
    match value:
        case {"file": str(path), **options} if options in ({}, {"fill": True}):
            text = _text_of(directory, path)
            return text if options else verbatim(text)
        case Mapping():
            return {key: _filed(inner, directory) for key, inner in value.items()}
        case list():
            return [_filed(inner, directory) for inner in value]
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
        if name not in aimed_at:
            yield f"states.{name}: nothing leads here"
        yield from (f"states.{name}{problem}" for problem in _state_problems(state, known))
        yield from (f"states.{name}.next{problem}" for problem in _rule_problems(state, states.keys()))


def _state_problems(state: State, known: Set[str]) -> Iterator[str]:
    if state.is_silent and not state.next:
        yield ": has neither say, call nor next"
    if state.is_silent and state.fault:
        yield ".fault: only a state that replies can have one"
    for variable in sorted(_used_by(state) - known):
        yield f": ${{{variable}}} is set nowhere"


def _rule_problems(state: State, names: Set[str]) -> Iterator[str]:
    for variable in sorted(PROVIDED.intersection(_set_by(state))):
        yield f": {variable} is set by the scripted model and can't be set here"
    for index, rule in enumerate(state.next):
        if rule.goto not in names:
            yield f".{index}.goto: there is no state {rule.goto!r}"
        if rule.when is None and index < len(state.next) - 1:
            yield f".{index}: always holds, so the rules after it are never reached"


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
