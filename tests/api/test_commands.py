"""What a sandbox's sidecar asks and tells."""

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from services.core import events as ev
from services.core.commands import Order
from services.core.lifecycle import Status
from services.core.sandboxes import SANDBOX
from services.core.store import Draft
from tests.api.conftest import Api
from tests.core.submitted import accept_run, close_attempt, submit_attempt

POD = "pod-1"
CALL = "call_1_0"


@pytest.fixture
def run(api: Api) -> str:
    """A running run with a live, claimed sandbox."""
    run = accept_run(api.parts.store)
    begun = ev.StatusChanged(source=Status.QUEUED, target=Status.RUNNING)
    api.parts.store.record(run, "begun", lambda _: Draft((begun,)))
    api.parts.attempts.claim(submit_attempt(api.parts.store, SANDBOX, run), POD)
    return run


@pytest.fixture
def attempt(run: str) -> str:
    return f"{run}-{SANDBOX}-1"


@pytest.fixture
def runner(api: Api, attempt: str) -> Iterator[httpx.Client]:
    with api.runner(attempt) as client:
        yield client


def queue(api: Api, run: str, call: str = CALL, files: dict[str, bytes] | None = None) -> Order:
    snapshot = api.parts.workspace.import_files(files or {})
    order = Order(call=call, snapshot=snapshot, command="true", timeout_seconds=60)
    api.parts.sandboxes.queue(run, order)
    return order


def take(runner: httpx.Client, *tended: str) -> httpx.Response:
    return runner.post("/commands/next", json={"pod_uid": POD, "tended": tended})


def report(runner: httpx.Client, call: str = CALL, pod: str = POD, **fields: object) -> httpx.Response:
    outcome = {"exit_code": 0, "reason": "exited", **fields}
    return runner.post(f"/commands/{call}/outcome", json={"pod_uid": pod, "outcome": outcome})


def bring(runner: httpx.Client, data: bytes) -> dict[str, object]:
    """Put an object into the store; what an outcome says of it."""
    sha256 = hashlib.sha256(data).hexdigest()
    answer = runner.put("/checkpoint/objects", content=data, headers={"X-Sha256": sha256})
    assert answer.status_code == 201
    return dict(answer.json())


def test_a_command_is_given_with_its_files_and_answered(api: Api, run: str, runner: httpx.Client) -> None:
    order = queue(api, run, files={"train.py": b"print()", "data/a.csv": b"1,2"})

    assert take(runner).json() == {"order": order.model_dump(), "end": False}
    files = {file["path"]: file for file in runner.get(f"/commands/{CALL}/files").json()["files"]}
    content = runner.get(f"/commands/{CALL}/blobs/{files['data/a.csv']['sha256']}").content
    changes = [{"path": "train.py"}, {"path": "new.txt", "content": bring(runner, b"new"), "mode": 0o755}]
    answer = report(runner, output="aGVsbG8=", changes=changes, skipped=["link (a symbolic link)"])

    assert (set(files), content, answer.status_code) == ({"train.py", "data/a.csv"}, b"1,2", 204)
    outcome = api.parts.sandboxes.command(run, CALL).outcome
    assert outcome is not None
    assert (outcome.output, outcome.skipped) == (b"hello", ("link (a symbolic link)",))
    assert [(change.path, change.mode, bool(change.content)) for change in outcome.changes] == [
        ("train.py", 0o644, False),
        ("new.txt", 0o755, True),
    ]


def test_a_sidecar_that_waits_hears_of_a_command_at_once(api: Api, run: str, runner: httpx.Client) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = threading.Event()

        def ask() -> tuple[httpx.Response, float]:
            asked.set()
            return take(runner), time.monotonic()

        waiting = pool.submit(ask)
        asked.wait()
        queue(api, run)
        answer, _ = waiting.result(timeout=30)
    assert answer.json()["order"]["call"] == CALL


def test_an_answer_that_was_lost_is_given_again_and_one_that_was_heard_is_not(
    api: Api, run: str, runner: httpx.Client
) -> None:
    queue(api, run)
    queue(api, run, "call_1_1")
    calls = [take(runner, *tended).json()["order"]["call"] for tended in ((), (), (CALL,))]
    assert calls == [CALL, CALL, "call_1_1"]


def test_an_idle_sandbox_is_told_to_end(api: Api, run: str, runner: httpx.Client) -> None:
    api.parts.sandboxes.set_terms(run, 0.0, time.time() + 60)
    assert take(runner).json() == {"order": None, "end": True}


def test_the_first_outcome_stands_and_repeating_it_is_no_error(api: Api, run: str, runner: httpx.Client) -> None:
    queue(api, run)
    take(runner)
    assert [report(runner).status_code, report(runner, exit_code=3).status_code] == [204, 204]
    outcome = api.parts.sandboxes.command(run, CALL).outcome
    assert outcome is not None
    assert outcome.exit_code == 0


def test_only_what_the_attempt_brought_becomes_the_runs(api: Api, run: str, runner: httpx.Client) -> None:
    queue(api, run)
    take(runner)
    api.parts.artifacts.put(b"of another tenant")
    strange = {"sha256": hashlib.sha256(b"of another tenant").hexdigest(), "size": 17, "receipt": ""}
    answers = [
        report(runner, changes=[{"path": "mine.txt", "content": strange}]),
        report(runner, output_object=strange),
        report(runner, changes=[{"path": "mine.txt", "content": {**bring(runner, b"x"), "size": 2}}]),
        report(runner, changes=[{"path": "../mine.txt"}]),
    ]
    assert [answer.status_code for answer in answers] == [422, 422, 422, 400]
    assert api.parts.sandboxes.command(run, CALL).outcome is None
    files = runner.get(f"/commands/{CALL}/blobs/{strange['sha256']}")
    assert (files.status_code, files.json()["type"]) == (404, "urn:cohort:problem:artifact-not-found")


def test_a_command_of_nobody_or_of_another_is_not_found(api: Api, run: str, runner: httpx.Client) -> None:
    queue(api, run)
    answers = [report(runner), runner.get(f"/commands/{CALL}/files"), runner.get("/commands/what%20is%20this/files")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_another_pod_of_the_attempt_gets_nothing(api: Api, run: str, runner: httpx.Client) -> None:
    queue(api, run)
    assert runner.post("/commands/next", json={"pod_uid": "pod-2"}).status_code == 409
    take(runner)
    assert report(runner, pod="pod-2").status_code == 409


def test_an_attempt_that_is_over_is_told_so(api: Api, run: str, attempt: str, runner: httpx.Client) -> None:
    queue(api, run)
    take(runner)
    close_attempt(api.parts.store, attempt, "lost")
    assert [take(runner).status_code, report(runner).status_code] == [410, 410]
