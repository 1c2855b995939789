import httpx
import pytest

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.store import Draft
from tests.api.conftest import Api
from tests.core.submitted import accept_run


@pytest.fixture
def run(api: Api) -> str:
    return accept_run(api.parts.store)


def move(api: Api, run: str, *targets: Status) -> None:
    for target in targets:
        changed = ev.StatusChanged(source=api.parts.store.state(run).status, target=target)
        api.parts.store.record(run, f"move:{target}", lambda _, changed=changed: Draft((changed,)))


def test_a_message_is_an_event_and_part_of_the_conversation(api: Api, http: httpx.Client, run: str) -> None:
    response = http.post(f"/v1/runs/{run}/messages", json={"content": " use val.csv \n", "message_id": "m-1"})
    assert response.status_code == 202
    assert response.json() == {"run": run, "status": "queued", "message_id": "m-1"}
    event = api.parts.store.events(run)[-1]
    assert event.data == ev.MessageReceived(message_id="m-1", content="use val.csv", author="test")
    talk = api.parts.store.talk(run)
    assert [(entry.index, entry.message) for entry in talk] == [(10_000, {"role": "user", "content": "use val.csv"})]
    assert api.hints.runs == [run]


def test_a_message_that_is_sent_again_is_one_message(api: Api, http: httpx.Client, run: str) -> None:
    for _ in range(3):
        assert http.post(f"/v1/runs/{run}/messages", json={"content": "x", "message_id": "m-1"}).status_code == 202
    for _ in range(2):
        assert http.post(f"/v1/runs/{run}/messages", json={"content": "x"}).status_code == 202
    assert len(api.parts.store.talk(run)) == 3


def test_a_message_wakes_a_run_that_asks(api: Api, http: httpx.Client, run: str) -> None:
    move(api, run, Status.RUNNING, Status.NEEDS_HUMAN)
    assert http.post(f"/v1/runs/{run}/messages", json={"content": "go on"}).json()["status"] == "running"


def test_a_run_that_is_over_takes_no_messages_but_knows_the_ones_it_took(
    api: Api, http: httpx.Client, run: str
) -> None:
    early = {"content": "in time", "message_id": "m-1"}
    assert http.post(f"/v1/runs/{run}/messages", json=early).status_code == 202
    http.post(f"/v1/runs/{run}/cancel")
    late = http.post(f"/v1/runs/{run}/messages", json={"content": "too late", "message_id": "m-2"})
    assert late.status_code == 409
    assert late.json()["type"] == "urn:cohort:problem:conflict"
    assert http.post(f"/v1/runs/{run}/messages", json=early).status_code == 202
    move(api, run, Status.CANCELLED)
    assert http.post(f"/v1/runs/{run}/messages", json={"content": "x"}).status_code == 409
    assert api.parts.store.state(run).reason in (Reason.NONE, Reason.CANCELLED_BY_USER)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": ""},
        {"content": "\0"},
        {"content": "x", "role": "system"},
        {"content": "x", "message_id": "a b"},
        [],
    ],
)
def test_a_message_that_breaks_a_rule_is_refused(api: Api, http: httpx.Client, run: str, body: object) -> None:
    assert http.post(f"/v1/runs/{run}/messages", json=body).status_code == 422
    assert api.parts.store.talk(run) == []
