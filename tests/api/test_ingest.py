import hashlib
import time
from collections.abc import Iterator

import google_crc32c
import httpx
import pytest

from services.core import events as ev
from services.core.attempts import AttemptRecord
from services.core.keys import run_of_attempt
from services.core.store import Draft
from services.core.tokens import issue
from tests.api.conftest import SECRET, Api
from tests.core.submitted import accept_run, close_attempt, submit_attempt

EMPTY_SHA = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def attempt(api: Api) -> str:
    return submit_attempt(api.parts.store)


@pytest.fixture
def runner(api: Api, attempt: str) -> Iterator[httpx.Client]:
    with api.runner(attempt) as client:
        yield client


def put_log(runner: httpx.Client, offset: int, data: bytes, age: str | None = None) -> httpx.Response:
    headers = {"X-Crc32c": f"{google_crc32c.value(data):08x}"} | ({} if age is None else {"X-Log-Age": age})
    return runner.put("/log", params={"offset": offset}, content=data, headers=headers)


def put_output(runner: httpx.Client, path: str, data: bytes) -> httpx.Response:
    return runner.put(f"/outputs/{path}", content=data, headers={"X-Sha256": hashlib.sha256(data).hexdigest()})


def report(log: bytes = b"", **fields: object) -> dict[str, object]:
    digest = hashlib.sha256(log).hexdigest()
    times = {"started": 1.0, "finished": 2.0}
    return {"exit_code": 0, "signal": None, "reason": "exited", "bytes": len(log), "sha256": digest} | times | fields


def record(api: Api, attempt: str) -> AttemptRecord:
    return api.parts.attempts.record(attempt)


def test_one_execution_claims_and_another_is_told_so(runner: httpx.Client) -> None:
    claims = [runner.post("/claim", json={"pod_uid": uid, "protocol": 1}) for uid in ("pod-1", "pod-1", "pod-2")]
    assert [claim.status_code for claim in claims] == [200, 200, 409]
    assert claims[0].json() == {"claimed": True}
    assert claims[2].json()["type"] == "urn:cohort:problem:attempt-taken"


def test_another_protocol_is_refused(runner: httpx.Client) -> None:
    assert runner.post("/claim", json={"pod_uid": "pod-1", "protocol": 2}).status_code == 422


def test_log_bytes_are_taken_once_at_their_offset(api: Api, runner: httpx.Client, attempt: str) -> None:
    data = bytes(range(256))
    answers = [
        put_log(runner, 0, data),
        put_log(runner, 256, data),
        put_log(runner, 256, data),
        put_log(runner, 999, b"x"),
    ]
    assert [answer.status_code for answer in answers] == [204, 204, 409, 409]
    assert [answer.headers.get("x-log-offset") for answer in answers[:2]] == ["256", "512"]
    assert [answer.json()["expected_offset"] for answer in answers[2:]] == [512, 512]
    assert api.parts.logs.read(attempt, 0, 9_999) == data * 2


def test_a_large_piece_is_taken_up_to_the_limit(api: Api, runner: httpx.Client, attempt: str) -> None:
    data = b"x" * 2**20
    assert put_log(runner, 0, data).status_code == 204
    assert put_log(runner, len(data), data + b"y").status_code == 413
    assert api.parts.logs.size(attempt) == len(data)


@pytest.mark.parametrize("crc", ["00000000", "zz", None])
def test_bytes_that_arrive_damaged_are_refused(api: Api, runner: httpx.Client, attempt: str, crc: str | None) -> None:
    headers = {} if crc is None else {"X-Crc32c": crc}
    assert runner.put("/log", params={"offset": 0}, content=b"x", headers=headers).status_code == 400
    assert api.parts.logs.size(attempt) == 0


@pytest.mark.parametrize("offset", ["-1", "x", "1.5", "99999999999999999999", ""])
def test_an_offset_that_cannot_be_is_refused(runner: httpx.Client, offset: str) -> None:
    headers = {"X-Crc32c": "00000000"}
    assert runner.put("/log", params={"offset": offset}, content=b"", headers=headers).status_code == 400


def test_bytes_and_rewinds_are_counted(api: Api, runner: httpx.Client) -> None:
    def counted(name: str) -> float:
        return api.parts.metrics.registry.value(name) or 0.0

    before = counted("cohort_log_ingest_bytes_total"), counted("cohort_log_rewinds_total")
    for offset in (0, 3, 99, 0):
        put_log(runner, offset, b"abc")
    assert counted("cohort_log_ingest_bytes_total") - before[0] == 6
    assert counted("cohort_log_rewinds_total") - before[1] == 1


@pytest.mark.parametrize("age", ["1.500", "0"])
def test_a_runner_that_says_how_old_its_bytes_are_has_its_lag_measured(
    api: Api, runner: httpx.Client, age: str
) -> None:
    def lag(part: str) -> float:
        return api.parts.metrics.registry.value(f"cohort_log_lag_seconds_{part}") or 0.0

    before = lag("count"), lag("sum")
    assert put_log(runner, 0, b"abc", age).status_code == 204
    # What is there already is not stored now.
    assert put_log(runner, 0, b"abc", age).status_code == 409
    assert lag("count") - before[0] == 1
    assert float(age) <= lag("sum") - before[1] < float(age) + 30


@pytest.mark.parametrize("age", [None, "", "soon", "-1", "nan", "inf"])
def test_a_runner_that_says_nothing_of_it_is_served_all_the_same(
    api: Api, runner: httpx.Client, age: str | None
) -> None:
    before = api.parts.metrics.registry.value("cohort_log_lag_seconds_count")
    assert put_log(runner, 0, b"abc", age).status_code == 204
    assert api.parts.metrics.registry.value("cohort_log_lag_seconds_count") == before


def test_what_runners_tell_is_counted_by_what_it_is(api: Api, runner: httpx.Client) -> None:
    def counted() -> dict[str, float]:
        kinds = ("metrics", "progress", "samples", "warnings")
        return {
            kind: api.parts.metrics.registry.value("cohort_observations_total", {"kind": kind}) or 0 for kind in kinds
        }

    before = counted()
    loss = {"name": "loss", "value": 1, "time": 5}
    told = {"metrics": [loss, loss], "progress": {"fraction": 0.5}}
    assert runner.post("/observations", json=told).status_code == 204
    assert runner.post("/observations", json={"metrics": [{**loss, "value": "x"}]}).status_code == 422
    after = counted()
    assert {kind: after[kind] - before[kind] for kind in after} == {
        "metrics": 2,
        "progress": 1,
        "samples": 0,
        "warnings": 0,
    }


def test_observations_are_taken_once(api: Api, runner: httpx.Client, attempt: str) -> None:
    batch = {
        "first": 0,
        "metrics": [
            {"name": "loss", "value": "NaN", "step": 1, "time": 5.0, "unknown": 1},
            {"name": "x" * 300, "value": 1, "time": 5},
        ],
        "progress": {"fraction": 0.5},
        "samples": [{"time": 5.0, "rss_bytes": 10, "cpu_percent": 1.0, "gpu": []}],
        "warnings": [{"kind": "nan", "text": "loss is NaN"}],
    }
    for _ in range(2):
        assert runner.post("/observations", json=batch).status_code == 204
    assert (record(api, attempt).metrics_count, len(api.parts.attempts.samples(attempt))) == (2, 1)
    assert len(api.parts.attempts.warnings(attempt)) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"metrics": [{"name": "", "value": 1, "time": 1}]},
        {"metrics": [{"name": "a", "value": "x", "time": 1}]},
        {"metrics": [{"name": "a", "value": 1, "time": float("1e30")}]},
        {"metrics": [{"name": "a", "value": 1, "step": 10**30, "time": 1}]},
        {"progress": {"fraction": 2}},
        {"first": -1},
        [],
    ],
)
def test_observations_that_break_a_rule_are_refused(runner: httpx.Client, body: object) -> None:
    assert runner.post("/observations", json=body).status_code == 422


def beat(runner: httpx.Client) -> dict[str, object]:
    response = runner.post("/heartbeat", json={"pod_uid": "pod-1"})
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


def test_a_heartbeat_hears_that_the_run_is_cancelled(
    api: Api, http: httpx.Client, runner: httpx.Client, attempt: str
) -> None:
    assert runner.post("/heartbeat", json={"pod_uid": "pod-1"}).status_code == 409
    runner.post("/claim", json={"pod_uid": "pod-1", "protocol": 1})
    assert beat(runner) == {"cancel": False, "grace_seconds": 10}
    assert runner.post("/heartbeat", json={"pod_uid": "pod-2"}).status_code == 409
    http.post(f"/v1/runs/{run_of_attempt(attempt)}/cancel")
    assert beat(runner)["cancel"] is True


def test_a_heartbeat_hears_that_the_step_is_cancelled(api: Api, runner: httpx.Client, attempt: str) -> None:
    runner.post("/claim", json={"pod_uid": "pod-1", "protocol": 1})
    asked = ev.StepCancelRequested(step="train")
    api.parts.store.record(run_of_attempt(attempt), "stop", lambda _: Draft((asked,)))
    assert beat(runner)["cancel"] is True


def test_outputs_are_stored_by_content(api: Api, runner: httpx.Client, attempt: str) -> None:
    data = b"weights" * 500_000
    response = put_output(runner, "model/./weights.bin", data)
    assert (response.status_code, response.json()["size"]) == (201, len(data))
    assert api.parts.artifacts.get(response.json()["sha256"]) == data
    assert [file.path for file in api.parts.attempts.outputs(attempt)] == ["model/weights.bin"]


def test_an_output_without_its_announced_length_is_stored_too(api: Api, runner: httpx.Client) -> None:
    data = [b"a" * 100_000] * 30
    headers = {"X-Sha256": hashlib.sha256(b"".join(data)).hexdigest()}
    assert runner.put("/outputs/a", content=iter(data), headers=headers).json()["size"] == 3_000_000


def test_an_output_that_is_not_what_it_says_is_not_recorded(api: Api, runner: httpx.Client, attempt: str) -> None:
    assert runner.put("/outputs/a", content=b"x", headers={"X-Sha256": EMPTY_SHA}).status_code == 400
    assert runner.put("/outputs/a", content=b"x").status_code == 400
    assert api.parts.attempts.outputs(attempt) == []


@pytest.mark.parametrize("path", ["..%2fx", "a/..%2f..%2fx", "%2fetc", "a%00", "a" * 300])
def test_an_output_with_a_bad_path_is_refused(api: Api, runner: httpx.Client, attempt: str, path: str) -> None:
    assert put_output(runner, path, b"x").status_code in (400, 404)
    assert api.parts.attempts.outputs(attempt) == []


def test_a_finish_is_accepted_when_the_log_is_whole_and_may_be_repeated(
    api: Api, runner: httpx.Client, attempt: str
) -> None:
    data = b"a" * 100_000 + b"end\n"
    put_log(runner, 0, data)
    sha = put_output(runner, "model.bin", b"weights").json()["sha256"]
    outputs = [{"path": "model.bin", "sha256": sha, "size": 7}]
    for exit_code in (3, 0):
        response = runner.post("/finish", json=report(data, exit_code=exit_code, outputs=outputs))
        assert (response.status_code, response.json()) == (200, {"complete": True})
    found = record(api, attempt)
    assert found.finish is not None and found.finish.exit_code == 3 and found.log_complete
    assert [file.path for file in found.finish.outputs] == ["model.bin"]
    assert put_log(runner, len(data), b"late").status_code == 410
    close_attempt(api.parts.store, attempt)
    assert runner.post("/finish", json=report(data)).status_code == 200


def test_a_finish_before_all_bytes_are_there_names_the_first_that_is_missing(
    api: Api, runner: httpx.Client, attempt: str
) -> None:
    put_log(runner, 0, b"1234")
    response = runner.post("/finish", json=report(b"123456"))
    assert (response.status_code, response.json()["expected_offset"]) == (409, 4)
    assert record(api, attempt).finish is None
    put_log(runner, 4, b"56")
    assert runner.post("/finish", json=report(b"123456")).json() == {"complete": True}


def test_a_log_that_is_not_what_was_sent_is_sent_anew_once(api: Api, runner: httpx.Client, attempt: str) -> None:
    put_log(runner, 0, b"damaged")
    response = runner.post("/finish", json=report(b"correct"))
    assert (response.status_code, response.json()["expected_offset"]) == (409, 0)
    assert put_log(runner, 0, b"correct").status_code == 204
    assert runner.post("/finish", json=report(b"correct")).json() == {"complete": True}
    assert api.parts.logs.read(attempt, 0, 99) == b"correct"


def test_a_runner_whose_digest_never_fits_is_not_kept_for_ever(api: Api, runner: httpx.Client, attempt: str) -> None:
    for data in (b"one", b"two"):
        put_log(runner, 0, data)
        last = runner.post("/finish", json=report(b"xxx"))
    assert (last.status_code, last.json()) == (200, {"complete": False})
    assert not record(api, attempt).log_complete


def test_gaps_are_counted(api: Api, runner: httpx.Client, attempt: str) -> None:
    put_log(runner, 0, b"12")
    gaps = [{"offset": 1, "bytes": 10}, {"offset": 2, "bytes": 5}]
    assert runner.post("/finish", json=report(b"12", gaps=gaps)).status_code == 200
    assert record(api, attempt).gap_bytes == 15


def test_only_what_the_attempt_uploaded_is_its_output(api: Api, runner: httpx.Client, attempt: str) -> None:
    theirs = api.parts.artifacts.put(b"another tenant's model")
    put_output(runner, "mine", b"mine")
    for path, sha in (("stolen", theirs), ("mine", theirs)):
        response = runner.post("/finish", json=report(outputs=[{"path": path, "sha256": sha, "size": 22}]))
        assert response.status_code == 422
    assert record(api, attempt).finish is None


def test_an_attempt_that_is_over_is_told_to_stop_on_every_route(api: Api, runner: httpx.Client, attempt: str) -> None:
    close_attempt(api.parts.store, attempt)
    answers = [
        runner.post("/claim", json={"pod_uid": "pod-1", "protocol": 1}),
        put_log(runner, 0, b"x"),
        put_log(runner, 0, b"x" * 100_000),
        runner.post("/observations", json={}),
        runner.post("/heartbeat", json={"pod_uid": "pod-1"}),
        put_output(runner, "a", b"x"),
        runner.post("/finish", json=report()),
    ]
    assert [answer.status_code for answer in answers] == [410] * 7
    assert answers[0].json()["type"] == "urn:cohort:problem:attempt-over"


def test_a_token_opens_its_own_attempt_alone(api: Api, attempt: str) -> None:
    run = run_of_attempt(attempt)
    other = submit_attempt(api.parts.store, step="evaluate", run=run)
    sibling = submit_attempt(api.parts.store, run=accept_run(api.parts.store))
    now = time.time()
    tokens = {
        "another attempt's": issue(SECRET, other, now + 60),
        "another run's": issue(SECRET, sibling, now + 60),
        "expired": issue(SECRET, attempt, now - 1),
        "of another secret": issue("x", attempt, now + 60),
        "without signature": issue(SECRET, attempt, now + 60).rpartition(".")[0],
        "an API key": api.parts.api_keys.create("acme", ["admin"], "x")[1],  # type: ignore[list-item]
        "junk": "v1...",
    }
    for name, token in tokens.items():
        with api.runner(attempt, token) as client:
            assert client.post("/claim", json={"pod_uid": "p", "protocol": 1}).status_code == 401, name
            assert put_log(client, 0, b"x").status_code == 401, name
            assert put_output(client, "a", b"x").status_code == 401, name
            assert client.post("/finish", json=report()).status_code == 401, name
    assert record(api, attempt) == AttemptRecord(attempt=attempt)


def test_a_token_that_is_no_ascii_is_refused(api: Api, attempt: str) -> None:
    url = f"{api.server.url}/internal/v1/attempts/{attempt}/claim"
    headers = {b"Authorization": "Bearer v1.é.1.ü".encode()}
    response = httpx.post(url, json={}, headers=headers, trust_env=False)  # type: ignore[arg-type]
    assert response.status_code == 401


def test_a_token_opens_nothing_of_the_public_api(api: Api, runner: httpx.Client, attempt: str) -> None:
    token = runner.headers["authorization"]
    for path in ("/v1/runs", f"/v1/runs/{run_of_attempt(attempt)}", "/v1/whoami", "/v1/keys"):
        response = httpx.get(api.server.url + path, headers={"Authorization": token}, trust_env=False)
        assert response.status_code == 401


@pytest.mark.parametrize(
    "attempt_id", ["x", "rk3v9x2m4q8aa", "rk3v9x2m4q8aa-train", "rk3v9x2m4q8aa-train-0", "..%2f.."]
)
def test_what_cannot_be_an_attempt_is_not_found(api: Api, attempt_id: str) -> None:
    url = f"{api.server.url}/internal/v1/attempts/{attempt_id}/claim"
    headers = {"Authorization": f"Bearer {issue(SECRET, attempt_id, time.time() + 60)}"}
    claim = {"pod_uid": "pod-1", "protocol": 1}
    assert httpx.post(url, json=claim, headers=headers, trust_env=False).status_code in (401, 404, 410)
