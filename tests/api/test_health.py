import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from services.core.errors import CohortError
from services.core.keys import Keys
from services.core.payload import Payloads
from services.core.redis import connect
from services.core.store import RunStore
from tests.api.conftest import Api
from tests.core.submitted import accept_run, submit_attempt
from tests.servers import RedisServer, wait_until


def test_it_is_alive_and_ready(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ok"}


def test_without_redis_it_is_alive_and_not_ready_and_says_when_to_come_again(
    api: Api, http: httpx.Client, redis_server: RedisServer
) -> None:
    run = accept_run(api.parts.store)
    attempt = submit_attempt(api.parts.store, run=run)
    redis_server.kill()
    assert http.get("/healthz").status_code == 200
    with api.runner(attempt) as runner:
        answers = [
            http.get("/readyz"),
            http.get(f"/v1/runs/{run}"),
            http.get(f"/v1/runs/{run}/events/stream"),
            http.post("/v1/runs", json={"goal": "x"}),
            runner.post("/heartbeat", json={"pod_uid": "pod"}),
        ]
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["type"] == "urn:cohort:problem:store-unavailable"
        assert "127.0.0.1" not in answer.text
    redis_server.start()
    wait_until(lambda: http.get(f"/v1/runs/{run}").status_code == 200, message="it works again")


def test_with_an_artifact_store_that_cannot_be_written_it_is_not_ready(
    start_api: Callable[..., Api], tmp_path: Path
) -> None:
    api = start_api()
    shutil.rmtree(tmp_path / "artifacts")
    (tmp_path / "artifacts").write_text("a file where the directory was")
    with api.client() as http:
        response = http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:cohort:problem:artifacts-unavailable"
    assert str(tmp_path) not in response.text


def test_requests_are_counted_by_route_and_never_by_run(http: httpx.Client) -> None:
    for run in ("rk3v9x2m4q8aa", "rk3v9x2m4q8ab"):
        http.get(f"/v1/runs/{run}")
    http.get("/nowhere")
    text = http.get("/metrics").text
    assert 'cohort_api_requests_total{method="GET",route="/v1/runs/{run}",status="404"}' in text
    assert 'route="unknown",status="404"' in text
    assert "rk3v9x2m4q8aa" not in text and "nowhere" not in text
    for name in ("cohort_api_request_seconds_bucket", "cohort_runs_submitted_total", "cohort_log_ingest_bytes_total"):
        assert name in text
    for name in ("cohort_log_rewinds_total", "cohort_sse_clients"):
        assert name in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/runs/", 404),
        ("PUT", "/v1/runs", 405),
        ("PATCH", "/v1/runs/rk3v9x2m4q8aa", 405),
        ("GET", "/docs", 404),
    ],
)
def test_what_is_not_there_is_a_problem_too(http: httpx.Client, method: str, path: str, status: int) -> None:
    response = http.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert ("allow" in response.headers) == (status == 405)


class Broken(RunStore):
    """A store with a bug in it."""

    def state(self, run: str) -> object:  # type: ignore[override]
        raise ZeroDivisionError("the secret is hunter2")


class Unforeseen(RunStore):
    """A store that raises an error of ours that the table does not have."""

    def state(self, run: str) -> object:  # type: ignore[override]
        raise CohortError("the secret is hunter2")


@pytest.mark.parametrize("kind", [Broken, Unforeseen])
def test_a_bug_shows_no_one_how_it_looks_inside(
    start_api: Callable[..., Api], redis_url: str, kind: type[RunStore]
) -> None:
    api = start_api(store=kind(connect(redis_url), Keys(), Payloads(None)))  # type: ignore[arg-type]
    with capture_logs() as logged, api.client() as http:
        response = http.get("/v1/runs/rk3v9x2m4q8aa")
    assert response.status_code == 500
    assert [entry["event"] for entry in logged if entry["log_level"] == "error"] == ["request_crashed"]
    assert response.json()["type"] == "urn:cohort:problem:internal"
    assert "hunter2" not in response.text and "Traceback" not in response.text
