"""What the init container of an attempt may fetch, and what it may not."""

import hashlib
from collections.abc import Iterator

import httpx
import pytest

from services.core import events as ev
from services.core.keys import run_of_attempt
from services.core.records import FileRef
from services.core.store import Draft
from services.core.workspace import EMPTY, EXECUTABLE_MODE, Change
from tests.api.conftest import Api
from tests.core.submitted import accept_run, close_attempt, submit_attempt

PROGRAM = b"print('hello')\n"
WEIGHTS = bytes(range(256)) * 20_000


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def attempt(api: Api) -> str:
    """An attempt over a snapshot of two files that uses the outputs of a step that has succeeded."""
    changes = [Change("src/main.py", PROGRAM), Change("run", b"#!/bin/sh\n", EXECUTABLE_MODE)]
    snapshot = api.parts.workspace.apply(EMPTY, changes)
    run = accept_run(api.parts.store)
    api.parts.artifacts.put(WEIGHTS)
    close_attempt(
        api.parts.store,
        submit_attempt(api.parts.store, "prepare", run),
        outputs=[FileRef(path="model/weights.bin", sha256=sha(WEIGHTS), size=len(WEIGHTS))],
    )
    submitted = ev.StepSubmitted(
        step="train",
        attempt=f"{run}-train-1",
        number=1,
        command="true",
        snapshot=snapshot,
        uses=["prepare"],
        env={},
        deadline_seconds=60.0,
    )
    api.parts.store.record(run, "submitted", lambda _: Draft((submitted,)))
    return submitted.attempt


@pytest.fixture
def runner(api: Api, attempt: str) -> Iterator[httpx.Client]:
    with api.runner(attempt) as client:
        yield client


def test_the_list_names_every_file_and_its_place(runner: httpx.Client) -> None:
    files = runner.get("/files").json()["files"]
    assert sorted((file["root"], file["path"], file["mode"], file["size"]) for file in files) == [
        ("in", "prepare/model/weights.bin", 0o644, len(WEIGHTS)),
        ("work", "run", 0o755, 10),
        ("work", "src/main.py", 0o644, len(PROGRAM)),
    ]


def test_the_bytes_of_a_listed_file_are_given(runner: httpx.Client) -> None:
    # Also where another process of the API was asked for the list.
    answer = runner.get(f"/blobs/{sha(WEIGHTS)}")
    assert (answer.status_code, answer.content) == (200, WEIGHTS)
    assert runner.get(f"/blobs/{sha(PROGRAM)}").content == PROGRAM


def test_several_files_are_given_one_after_the_other(runner: httpx.Client) -> None:
    answer = runner.post("/parcel", json={"digests": [sha(b"#!/bin/sh\n"), sha(PROGRAM)]})
    assert (answer.status_code, answer.content) == (200, b"#!/bin/sh\n" + PROGRAM)


def test_more_than_goes_into_one_answer_is_refused(runner: httpx.Client) -> None:
    assert runner.post("/parcel", json={"digests": [sha(WEIGHTS)]}).status_code == 413
    assert runner.post("/parcel", json={"digests": [sha(PROGRAM)] * 251}).status_code == 422
    assert runner.post("/parcel", json={"digests": []}).status_code == 422


def test_an_object_that_is_not_listed_stays_closed(api: Api, runner: httpx.Client) -> None:
    secret = api.parts.artifacts.put(b"another run's secret")
    assert runner.get("/files").status_code == 200
    assert runner.get(f"/blobs/{secret}").status_code == 404
    assert runner.get("/blobs/no-digest").status_code in (404, 422)
    assert runner.post("/parcel", json={"digests": [sha(PROGRAM), secret]}).status_code == 404


def test_an_attempt_that_is_over_gets_nothing(api: Api, runner: httpx.Client, attempt: str) -> None:
    assert runner.get("/files").status_code == 200
    close_attempt(api.parts.store, attempt)
    assert runner.get("/files").status_code == 410
    assert runner.get(f"/blobs/{sha(PROGRAM)}").status_code == 410
    assert runner.post("/parcel", json={"digests": [sha(PROGRAM)]}).status_code == 410


def test_a_token_opens_its_own_attempt_only(api: Api, attempt: str) -> None:
    other = submit_attempt(api.parts.store, "other", run_of_attempt(attempt))
    with api.runner(attempt) as client:
        for path in ("files", f"blobs/{sha(PROGRAM)}"):
            url = f"{api.server.url}/internal/v1/attempts/{other}/{path}"
            assert client.get(url).status_code == 401
