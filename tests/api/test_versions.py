"""During an upgrade the API meets runs that a newer version has written."""

import httpx

from tests.api.conftest import Api
from tests.core.submitted import accept_run, submit_attempt
from tests.worker.test_versions import make_newer


def test_who_asks_for_a_run_of_a_newer_version_is_told_to_ask_again(api: Api, http: httpx.Client) -> None:
    run = accept_run(api.parts.store)
    make_newer(api.parts.store, run)
    answer = http.get(f"/v1/runs/{run}")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:cohort:problem:newer-record")
    assert answer.headers["Retry-After"]
    assert http.get(f"/v1/runs/{run}/events").status_code in {200, 503}


def test_a_sidecar_of_such_a_run_waits_instead_of_ending_its_program(api: Api) -> None:
    attempt = submit_attempt(api.parts.store)
    with api.runner(attempt) as runner:
        assert runner.post("/claim", json={"pod_uid": "a", "protocol": 1}).status_code == 200
        make_newer(api.parts.store, attempt.split("-")[0])
        assert runner.post("/heartbeat", json={"pod_uid": "a"}).status_code == 503
