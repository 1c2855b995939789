"""The checkpoints an attempt leaves, and the one it goes on from."""

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.core import events as ev
from services.core.keys import attempt_id, run_of_attempt
from services.core.store import Draft
from services.core.workspace import EMPTY, Change
from tests.api.conftest import Api
from tests.core.submitted import accept_run, close_attempt, submit_attempt

ONE, TWO = b"weights after one epoch", b"weights after two epochs"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def resumed(api: Api, files: dict[str, bytes]) -> str:
    """A live attempt that goes on from a checkpoint with these files."""
    run = accept_run(api.parts.store)
    snapshot = api.parts.workspace.apply(EMPTY, [Change(path, data) for path, data in files.items()])
    submitted = ev.StepSubmitted(
        step="train",
        attempt=attempt_id(run, "train", 1),
        number=1,
        command="true",
        snapshot=EMPTY,
        uses=[],
        env={},
        deadline_seconds=60.0,
        restores=snapshot,
    )
    api.parts.store.record(run, "submitted", lambda _: Draft((submitted,)))
    return submitted.attempt


@pytest.fixture
def attempt(api: Api) -> str:
    return resumed(api, {"epoch-0/weights": ONE})


@pytest.fixture
def runner(api: Api, attempt: str) -> Iterator[httpx.Client]:
    with api.runner(attempt) as client:
        yield client


def bring(runner: httpx.Client, path: str, data: bytes) -> dict[str, Any]:
    """Upload a file; returns its entry in a version."""
    response = runner.put("/checkpoint/objects", content=data, headers={"X-Sha256": sha(data)})
    assert response.status_code == 201, response.text
    return {"path": path, "mode": 0o644, **response.json()}


def entry(path: str, data: bytes) -> dict[str, Any]:
    return {"path": path, "mode": 0o644, "sha256": sha(data), "size": len(data)}


def put(runner: httpx.Client, number: int, *files: dict[str, Any]) -> httpx.Response:
    return runner.put("/checkpoint", json={"number": number, "files": files})


def kept(runner: httpx.Client) -> tuple[int, list[str]]:
    version = runner.get("/checkpoint").json()
    return version["number"], [file["path"] for file in version["files"]]


def test_an_attempt_begins_with_what_it_restores(runner: httpx.Client) -> None:
    assert kept(runner) == (0, ["epoch-0/weights"])
    files = runner.get("/files").json()["files"]
    assert [(file["root"], file["path"]) for file in files] == [("checkpoint", "epoch-0/weights")]
    assert runner.get(f"/blobs/{sha(ONE)}").content == ONE


def test_a_version_is_what_a_later_attempt_can_begin_with(api: Api, runner: httpx.Client, attempt: str) -> None:
    answer = put(runner, 1, bring(runner, "epoch-1/weights", TWO), entry("epoch-0/weights", ONE))
    assert answer.json() == {"number": 1}
    assert kept(runner) == (1, ["epoch-0/weights", "epoch-1/weights"])
    snapshot = api.parts.attempts.record(attempt).checkpoint
    assert api.parts.workspace.read(snapshot, "epoch-1/weights") == TWO


def test_a_version_sent_again_or_late_changes_nothing(runner: httpx.Client) -> None:
    two = bring(runner, "b", TWO)
    assert put(runner, 2, two).json() == {"number": 2}
    assert put(runner, 2, two).json() == {"number": 2}
    assert put(runner, 1, entry("a", ONE)).json() == {"number": 2}
    assert kept(runner) == (2, ["b"])


def test_a_file_of_the_newest_version_need_not_be_brought_again(runner: httpx.Client) -> None:
    assert put(runner, 1, bring(runner, "a", TWO)).status_code == 200
    assert put(runner, 2, entry("renamed", TWO)).status_code == 200
    assert kept(runner) == (2, ["renamed"])


def test_a_digest_is_no_right_to_an_object(api: Api, runner: httpx.Client) -> None:
    secret = b"weights of another run"
    api.parts.artifacts.put(secret)
    answer = put(runner, 1, entry("mine", secret))
    assert (answer.status_code, answer.json()["field"]) == (422, "files.0")
    other = submit_attempt(api.parts.store)
    with api.runner(other) as client:
        theirs = bring(client, "mine", secret)
    assert put(runner, 1, theirs).status_code == 422
    assert kept(runner) == (0, ["epoch-0/weights"])


@pytest.mark.parametrize(
    "version",
    [
        {"number": -1, "files": []},
        {"number": 1},
        {"number": 1, "files": [{"path": "../a", "sha256": sha(ONE), "size": len(ONE)}]},
        {"number": 1, "files": [{"path": "a", "sha256": "short", "size": 1}]},
        {"number": 1, "files": [{"path": "a", "sha256": sha(ONE), "size": -1}]},
        {"number": 1, "files": [entry("a", ONE), entry("a/b", ONE)]},
    ],
)
def test_a_version_that_breaks_a_rule_is_refused(runner: httpx.Client, version: dict[str, Any]) -> None:
    assert 400 <= runner.put("/checkpoint", json=version).status_code < 500
    assert kept(runner) == (0, ["epoch-0/weights"])


def test_bytes_that_arrive_damaged_are_refused(runner: httpx.Client) -> None:
    assert runner.put("/checkpoint/objects", content=TWO, headers={"X-Sha256": sha(ONE)}).status_code == 400


def test_an_attempt_that_is_over_keeps_nothing_more(api: Api, runner: httpx.Client, attempt: str) -> None:
    file = bring(runner, "a", TWO)
    assert put(runner, 1, file).status_code == 200
    close_attempt(api.parts.store, attempt, "lost", checkpoint=api.parts.attempts.record(attempt).checkpoint)
    assert put(runner, 2, file).status_code == 410
    assert runner.get("/checkpoint").status_code == 410
    assert runner.put("/checkpoint/objects", content=TWO, headers={"X-Sha256": sha(TWO)}).status_code == 410
    step = api.parts.store.state(run_of_attempt(attempt)).steps["train"]
    assert api.parts.workspace.read(step.checkpoint, "a") == TWO
