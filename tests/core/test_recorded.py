"""What earlier versions have written is read by this one, and nothing of it is lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from services.core.errors import NewerRecord
from services.core.events import read_data
from services.core.record import Versioned
from services.core.records import RunState
from tests.core.recording import EVENTS, PLACE, PLAIN, VERSIONED, example, file_name, paths, recordings

ADD = "record it: python -m tests.core.recording"
BUMP = (
    "a process of the version before would write this record back without its new fields: give it the next `version`, "
    "and record it: python -m tests.core.recording"
)
EVENT_FILES = sorted((PLACE / "events").glob("*.json"))
RECORDS = {file_name(model): model for model in (*PLAIN, *VERSIONED)}
RECORD_FILES = sorted((PLACE / "records").glob("*.json"))


def contains(larger: Any, smaller: Any) -> bool:
    """Whether a JSON value has all that another has."""
    if isinstance(larger, dict) and isinstance(smaller, dict):
        return all(name in larger and contains(larger[name], inner) for name, inner in smaller.items())
    if isinstance(larger, list) and isinstance(smaller, list):
        return len(larger) == len(smaller) and all(map(contains, larger, smaller))
    return bool(larger == smaller)


@pytest.mark.parametrize("path", EVENT_FILES, ids=lambda path: path.stem)
def test_an_event_is_read_and_written_as_it_was(path: Path) -> None:
    kind = path.name.split(".")[0]
    data = read_data(kind, path.read_text())
    assert isinstance(data, EVENTS[kind]), "a kind of event must not go: logs have it"
    assert contains(json.loads(json.dumps(data.wire())), json.loads(path.read_text()))


@pytest.mark.parametrize("path", RECORD_FILES, ids=lambda path: path.stem)
def test_a_record_is_read_and_written_as_it_was(path: Path) -> None:
    model = RECORDS[path.name.split(".")[0]]
    read = (
        model.read(path.read_bytes()) if issubclass(model, Versioned) else model.model_validate_json(path.read_bytes())
    )
    assert contains(json.loads(read.model_dump_json()), json.loads(path.read_text()))


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_every_kind_of_event_is_recorded_with_all_its_fields(kind: str) -> None:
    known = {path for one in recordings(kind) for path in paths(json.loads(one.read_text()))}
    assert set(paths(example(EVENTS[kind]))) - known == set(), ADD


@pytest.mark.parametrize("model", PLAIN, ids=file_name)
def test_every_record_is_recorded_with_all_its_fields(model: type[BaseModel]) -> None:
    known = {path for one in recordings(file_name(model)) for path in paths(json.loads(one.read_text()))}
    assert set(paths(example(model))) - known == set(), ADD


@pytest.mark.parametrize("model", VERSIONED, ids=file_name)
def test_a_record_that_is_written_back_gets_no_field_without_a_new_version(model: type[Versioned]) -> None:
    name = f"{file_name(model)}.v{model.model_fields['version'].default}.json"
    (found,) = PLACE.glob(f"records/{name}")
    assert set(paths(example(model))) == set(paths(json.loads(found.read_text()))), BUMP


@pytest.mark.parametrize("model", VERSIONED, ids=file_name)
def test_a_record_of_a_newer_version_is_refused_and_says_so(model: type[Versioned]) -> None:
    newer = {**example(model), "version": model.model_fields["version"].default + 1, "of_tomorrow": 1}
    with pytest.raises(NewerRecord, match="upgrade"):
        model.read(json.dumps({"version": newer["version"], **newer}))


def test_a_record_of_before_there_were_versions_is_read() -> None:
    old = example(RunState)
    del old["version"]
    assert RunState.read(json.dumps(old)).version == 1
