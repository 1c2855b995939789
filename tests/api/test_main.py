import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest
import redis

from services.core.apikeys import ApiKeys, Scope
from services.core.redis import Client
from services.core.store import RunStore
from tests.api.server import frames
from tests.core.submitted import accept_run
from tests.servers import bound_to_us


@pytest.fixture
def environment(redis_url: str, broker_url: str, tmp_path: Path) -> dict[str, str]:
    settings = {
        "REDIS_URL": redis_url,
        "BROKER_URL": broker_url,
        "ARTIFACT_URL": f"file://{tmp_path}/artifacts",
        "RUNNER_SECRET": "hunter2",
        "API_PORT": "0",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COHORT_")}
    return kept | {f"COHORT_{name}": value for name, value in settings.items()}


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = bound_to_us([sys.executable, "-m", "services.api"])
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def said(stream: IO[str] | None, event: str) -> dict[str, object]:
    """The first log line about `event`."""
    assert stream is not None
    for line in stream:
        entry: dict[str, object] = json.loads(line)
        if entry["event"] == event:
            return entry
    raise AssertionError(f"no {event}")


def test_the_process_says_where_it_listens_and_ends_its_streams_on_sigterm(
    process: subprocess.Popen[str], store: RunStore, client: Client
) -> None:
    url = f"http://127.0.0.1:{said(process.stderr, 'listening')['port']}"
    run = accept_run(store)
    _, key = ApiKeys(client).create("acme", [Scope.ADMIN], "test")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as http:
        assert http.get("/readyz").status_code == 200
        assert http.post("/v1/runs", json={"goal": "x", "model": "m"}).status_code == 202
        with http.stream("GET", f"/v1/runs/{run}/events/stream") as response:
            told = frames(response)
            assert next(told).id == "1"
            process.send_signal(signal.SIGTERM)
            assert next(told).text == "retry: 1000"
            assert list(told) == []
    assert process.wait(20) == 0


def test_a_hint_reaches_the_broker(process: subprocess.Popen[str], client: Client, broker_url: str) -> None:
    url = f"http://127.0.0.1:{said(process.stderr, 'listening')['port']}"
    _, key = ApiKeys(client).create("acme", [Scope.SUBMIT], "test")
    with redis.Redis.from_url(broker_url) as broker:
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(f"{url}/v1/runs", json={"goal": "x", "model": "m"}, headers=headers, trust_env=False)
        [_, message] = broker.blpop(["q:hints"], timeout=10)  # type: ignore[misc]
    assert answer.json()["run"] in json.dumps(json.loads(message)["headers"])


FIRST_KEY = f"ck_{'a' * 12}_{'b' * 40}"


def test_the_first_key_makes_others(environment: dict[str, str]) -> None:
    given = {"COHORT_FIRST_KEY": FIRST_KEY, "COHORT_FIRST_TENANT": "acme"}
    command = bound_to_us([sys.executable, "-m", "services.api"])
    with subprocess.Popen(command, env=environment | given, stderr=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{said(process.stderr, 'listening')['port']}/v1"
        headers = {"Authorization": f"Bearer {FIRST_KEY}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as http:
            made = http.post("/keys", json={"name": "ci", "scopes": ["submit"]}).json()
            whose = http.get("/whoami", headers={"Authorization": f"Bearer {made['secret']}"}).json()
        process.kill()
    assert whose["tenant"] == "acme"


@pytest.mark.parametrize(
    "spoilt", [{"COHORT_API_PORT": "x"}, {"COHORT_TYPO": "1"}, {"COHORT_FIRST_KEY": "hunter2 is no key"}]
)
def test_a_bad_setting_is_named_and_ends_the_process(environment: dict[str, str], spoilt: dict[str, str]) -> None:
    command = [sys.executable, "-m", "services.api"]
    result = subprocess.run(command, env=environment | spoilt, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert next(iter(spoilt)) in result.stderr and "Traceback" not in result.stderr and "hunter2" not in result.stderr


@pytest.mark.parametrize("service", ["services.api", "services.worker", "services.worker.controller"])
def test_a_bad_pools_file_is_named_and_ends_the_process(
    environment: dict[str, str], service: str, tmp_path: Path
) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text("pools: [{name: a100, gpu_per_node: 8}]")
    spoilt = environment | {"COHORT_POOLS_FILE": str(file), "COHORT_STATE_DIR": str(tmp_path)}
    result = subprocess.run([sys.executable, "-m", service], env=spoilt, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert f"{file}: pools.0.gpu_per_node: no such key; do you mean gpus_per_node?" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_change_is_logged_with_the_name_of_its_request_its_tenant_and_its_run(
    process: subprocess.Popen[str], store: RunStore, client: Client
) -> None:
    url = f"http://127.0.0.1:{said(process.stderr, 'listening')['port']}"
    run = accept_run(store)
    record, key = ApiKeys(client).create("acme", [Scope.ADMIN], "test")
    headers = {"Authorization": f"Bearer {key}", "X-Request-Id": "pipeline-7/3"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as http:
        assert http.get(f"/v1/runs/{run}").headers["x-request-id"] == "pipeline-7/3"
        cancelled = http.post(f"/v1/runs/{run}/cancel")
        assert cancelled.status_code == 202, cancelled.text
        strange = http.post(f"/v1/runs/{run}/cancel", headers={"X-Request-Id": 'x" y'})
    first, second = said(process.stderr, "request_answered"), said(process.stderr, "request_answered")
    told = {name: first[name] for name in ("request", "tenant", "key", "run", "method", "route", "status")}
    assert told == {
        "request": "pipeline-7/3",
        "tenant": "acme",
        "key": record.id,
        "run": run,
        "method": "POST",
        "route": "/v1/runs/{run}/cancel",
        "status": 202,
    }
    assert second["request"] == strange.headers["x-request-id"] != 'x" y'
    process.kill()
    assert process.stderr is not None
    assert key not in process.stderr.read()
