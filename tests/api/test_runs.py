import io
import json
import tarfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.core import events as ev
from services.core.apikeys import Scope
from services.core.lifecycle import Reason, Status
from services.core.needs import Needs
from services.core.pools import GpuQuota, Pool, Pools
from services.core.rules import Terms
from services.core.store import Draft
from services.core.workspace import EMPTY
from tests.api.conftest import Api

GOAL = {"goal": "Train a classifier."}


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def finish(api: Api, run: str) -> None:
    """Let a queued run come to an end."""
    moves = [
        ev.StatusChanged(source=Status.QUEUED, target=Status.RUNNING),
        ev.RunFinished(status=Status.SUCCEEDED, reason=Reason.FINISHED, exit_code=0, summary="done", metrics={}),
        ev.StatusChanged(source=Status.RUNNING, target=Status.SUCCEEDED, reason=Reason.FINISHED),
        ev.Shutdown(),
    ]
    api.parts.store.record(run, "finish", lambda _: Draft(tuple(moves)))


def submit(http: httpx.Client, **fields: object) -> str:
    response = http.post("/v1/runs", json=GOAL | fields)
    assert response.status_code == 202, response.text
    return str(response.json()["run"])


def test_a_goal_is_on_record_when_the_answer_comes(api: Api, http: httpx.Client) -> None:
    body = {
        "goal": "  Train on Straße and 漢字\r\nthen stop.\t ",
        "limits": {"turns": 7, "dollars": 2.5},
        "labels": {"team": "vision"},
        "model": "openai/gpt-5",
    }
    response = http.post("/v1/runs", json=body)
    assert response.status_code == 202
    run = response.json()["run"]
    assert response.headers["location"] == f"/v1/runs/{run}" == response.json()["links"]["self"]
    state = api.parts.store.state(run)
    assert state.goal == "Train on Straße and 漢字\nthen stop."
    assert (state.tenant, state.model, state.labels, state.accepted_by) == (
        "acme",
        "openai/gpt-5",
        {"team": "vision"},
        "test",
    )
    assert (state.limits.turns, state.limits.dollars) == (7, 2.5)
    assert api.hints.runs == [run]


def test_a_run_leads_to_its_dashboard_where_there_is_a_grafana(start_api: Callable[..., Api]) -> None:
    api = start_api(grafana_url="https://grafana.example.com/ops/")
    with api.client() as http:
        run = submit(http)
        shown = http.get(f"/v1/runs/{run}").json()
        begun = f"{shown['created'] * 1000:.0f}"
        board = f"https://grafana.example.com/ops/d/cohort-run/run?var-run={run}&from={begun}"
        assert shown["links"]["dashboard"] == f"{board}&to=now"
        assert http.get("/v1/runs").json()["items"][0]["links"] == shown["links"]
        finish(api, run)
        shown = http.get(f"/v1/runs/{run}").json()
        assert shown["links"]["dashboard"] == f"{board}&to={shown['ended'] * 1000:.0f}"


def test_a_run_leads_to_no_dashboard_where_there_is_none(api: Api, http: httpx.Client) -> None:
    run = submit(http)
    assert "dashboard" not in http.get(f"/v1/runs/{run}").json()["links"]


@pytest.mark.parametrize(
    "model", ["ollama/qwen3:8b", "vllm/Qwen/Qwen3-8B", "lm_studio/a.b", "llamacpp/x", "anthropic/claude-x@20260101"]
)
def test_a_goal_may_name_any_providers_or_local_model(api: Api, http: httpx.Client, model: str) -> None:
    assert api.parts.store.state(submit(http, model=model)).model == model


def test_a_goal_without_a_model_gets_the_installs_own(api: Api, http: httpx.Client) -> None:
    assert api.parts.store.state(submit(http)).model == "scripted/digits"


def test_a_goal_without_a_model_is_refused_where_the_install_has_none(start_api: Callable[..., Api]) -> None:
    with start_api(default_model="").client() as http:
        response = http.post("/v1/runs", json=GOAL)
    assert response.status_code == 422
    assert response.json()["field"] == "model"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"goal": ""}, "goal"),
        ({"goal": " \n\t "}, "goal"),
        ({"goal": "a\0b"}, "goal"),
        ({"goal": "\x1b[2J"}, "goal"),
        ({"goal": "x" * 20_001}, "goal"),
        ({"goal": 5}, "goal"),
        ({"goal": None}, "goal"),
        ({"goals": "x"}, "goals"),
        ({"limits": {"turns": 0}}, "limits.turns"),
        ({"limits": {"turns": "5"}}, "limits.turns"),
        ({"limits": {"turns": 10**400}}, "limits.turns"),
        ({"limits": {"dollars": -1}}, "limits.dollars"),
        ({"limits": {"hours": 1}}, "limits.hours"),
        ({"labels": {"Team": "x"}}, "labels.Team"),
        ({"labels": {"team": "x" * 256}}, "labels.team"),
        ({"labels": {f"l{number}": "" for number in range(33)}}, "labels"),
        ({"model": "a b"}, "model"),
        ({"deadline": 1}, "deadline"),
        ({"deadline": "yesterday"}, "deadline"),
        ({"deadline": "2001-01-01T00:00:00Z"}, "deadline"),
        ({"deadline": 1e300}, "deadline"),
        ({"files": {"../etc/passwd": "x"}}, "files"),
        ({"files": {"a": "x", "a/b": "y"}}, "files"),
        ({"files_base64": {"a": "!"}}, "files_base64.a"),
        ({"files": {"a": "x"}, "files_base64": {"a": "eA=="}}, "files_base64"),
        ({"archive_base64": "eA=="}, "archive_base64"),
        ({"files": {"a": "x"}, "archive_base64": "eA=="}, "files"),
    ],
)
def test_a_goal_that_breaks_a_rule_is_refused_by_field_and_changes_nothing(
    api: Api, http: httpx.Client, fields: dict[str, object], field: str
) -> None:
    response = http.post("/v1/runs", json=GOAL | fields)
    assert response.status_code == 422, response.text
    problem = response.json()
    assert problem["field"].startswith(field), problem
    assert problem["type"] == "urn:cohort:problem:invalid-body" and problem["detail"] and problem["what_to_do"]
    assert http.get("/v1/runs").json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"goal": "\xff"}',
        b'{"goal": "\\ud800"}',
        b'{"goal": "x", "limits": {"minutes": NaN}}',
        b'{"goal": "x", "limits": {"minutes": 1e999}}',
        b"[" * 100_000,
        b"[]",
        b'"x"',
        b'{"goal": "x", "\\u0000": 1}',
    ],
)
def test_what_is_no_goal_in_json_is_refused(http: httpx.Client, body: bytes) -> None:
    response = http.post("/v1/runs", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_another_content_type_is_refused(http: httpx.Client) -> None:
    response = http.post("/v1/runs", content=b"goal=x", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert response.status_code == 415


def test_a_body_beyond_the_limit_is_refused_announced_or_not(http: httpx.Client) -> None:
    large = b'{"goal": "' + b"x" * (5 * 2**20) + b'"}'
    pieces = (large[start : start + 65_536] for start in range(0, len(large), 65_536))
    for content in (large, pieces):
        response = http.post("/v1/runs", content=content, headers={"Content-Type": "application/json"})
        assert response.status_code == 413
    assert http.get("/v1/runs").status_code == 200


@pytest.mark.parametrize("hours", [1, 24])
def test_a_deadline_may_be_a_time_or_a_number_also_in_quotes(api: Api, http: httpx.Client, hours: int) -> None:
    moment = (datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0)
    for spelling in (
        moment.isoformat(),
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        moment.timestamp(),
        str(int(moment.timestamp())),
    ):
        assert api.parts.store.state(submit(http, deadline=spelling)).deadline == moment.timestamp()


def test_files_come_inline_as_an_archive_or_in_a_form(api: Api, http: httpx.Client) -> None:
    import base64

    packed = archive({"data/a.txt": b"A", "b.bin": b"\0\xff"})
    encoded = base64.b64encode
    form = {"goal": (None, json.dumps(GOAL), "application/json"), "archive": ("in.tar.gz", packed, "application/gzip")}
    inline = {"files": {"data/a.txt": "A"}, "files_base64": {"b.bin": encoded(b"\0\xff").decode()}}
    runs = [
        submit(http, **inline),
        submit(http, archive_base64=encoded(packed).decode()),
        http.post("/v1/runs", files=form).json()["run"],
    ]
    snapshots = {api.parts.store.state(run).snapshot for run in runs}
    assert len(snapshots) == 1 and snapshots != {EMPTY}
    assert api.parts.workspace.read(snapshots.pop(), "b.bin") == b"\0\xff"


@pytest.mark.parametrize(
    "form",
    [
        {"archive": ("a.tgz", b"", "application/gzip")},
        {"goal": (None, "{", "application/json")},
        {"goal": (None, '{"goal": "x"}', "application/json"), "other": (None, "x", "text/plain")},
        {"goal": (None, '{"goal": "x"}', "application/json"), "archive": ("a.tgz", b"junk", "application/gzip")},
        {"goal": (None, '{"goal": "x"}', "application/json"), "archive": (None, "junk", "text/plain")},
    ],
)
def test_a_form_that_is_no_submission_is_refused(http: httpx.Client, form: dict[str, object]) -> None:
    response = http.post("/v1/runs", files=form)  # type: ignore[arg-type]
    assert response.status_code in (400, 422), response.text
    assert http.get("/v1/runs").json()["items"] == []


@pytest.mark.parametrize("body", [b"", b"--x", b"junk", b'--x\r\nContent-Disposition: form-data; name="goal"\r\n\r\n'])
@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_broken_form_is_refused(http: httpx.Client, body: bytes, content_type: str) -> None:
    response = http.post("/v1/runs", content=body, headers={"Content-Type": content_type})
    assert response.status_code in (400, 422), response.text


def test_the_same_idempotency_key_makes_one_run(api: Api, http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "pipeline 4711"}
    body = GOAL | {"labels": {"b": "2", "a": "1"}}
    first = http.post("/v1/runs", json=body, headers=headers)
    again = http.post("/v1/runs", json={"labels": {"a": "1", "b": "2"}} | GOAL, headers=headers)
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(http.get("/v1/runs").json()["items"]) == 1
    assert api.hints.runs == [first.json()["run"]] * 2


def test_an_idempotency_key_of_another_goal_is_refused(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "pipeline-4711"}
    http.post("/v1/runs", json=GOAL, headers=headers)
    response = http.post("/v1/runs", json={"goal": "Another."}, headers=headers)
    assert response.status_code == 422
    assert response.json()["type"] == "urn:cohort:problem:idempotency-key-reused"


def test_idempotency_keys_of_two_tenants_do_not_meet(api: Api, http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k"}
    with api.client(tenant="umbrella") as other:
        runs = {client.post("/v1/runs", json=GOAL, headers=headers).json()["run"] for client in (http, other)}
    assert len(runs) == 2


def test_a_goal_that_is_repeated_after_its_deadline_is_still_known(api: Api, http: httpx.Client) -> None:
    now = datetime.now(UTC).timestamp()
    body, headers = GOAL | {"deadline": now + 0.4}, {"Idempotency-Key": "k"}
    first = http.post("/v1/runs", json=body, headers=headers)
    while datetime.now(UTC).timestamp() < now + 0.4:
        assert first.status_code == 202
    assert http.post("/v1/runs", json=body, headers=headers).json() == first.json()


def test_of_many_equal_requests_at_once_one_makes_the_run(http: httpx.Client) -> None:
    answers: list[httpx.Response] = []

    def post() -> None:
        answers.append(http.post("/v1/runs", json=GOAL, headers={"Idempotency-Key": "k"}))

    threads = [threading.Thread(target=post) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1


@pytest.mark.parametrize("key", ["", "x" * 129, "a\tb"])
def test_an_idempotency_key_has_1_to_128_printable_characters(http: httpx.Client, key: str) -> None:
    response = http.post("/v1/runs", json=GOAL, headers={"Idempotency-Key": key})
    assert response.status_code == 400


def test_runs_are_listed_in_pages_with_filters(http: httpx.Client) -> None:
    runs = [submit(http, labels={"n": str(number % 2), "t": "a=b"}) for number in range(5)]
    listed, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/runs", params=query).json()
        listed += [item["run"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(listed) == sorted(runs)
    found = http.get("/v1/runs", params={"label": ["n=1", "t=a=b"], "status": "queued", "text": "CLASSIFIER"}).json()
    assert {item["run"] for item in found["items"]} == {runs[1], runs[3]}


@pytest.mark.parametrize(
    "query",
    [
        "cursor=junk",
        "cursor=%00",
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=1e3",
        "status=lost",
        "label=novalue",
        "limit=999999999999999999999999",
    ],
)
def test_a_listing_with_a_bad_parameter_is_refused(http: httpx.Client, query: str) -> None:
    response = http.get(f"/v1/runs?{query}")
    assert response.status_code == 400
    assert response.json()["type"] == "urn:cohort:problem:invalid-parameter"


def test_a_run_is_shown_with_its_exit_code_and_spend(api: Api, http: httpx.Client) -> None:
    run = submit(http)
    shown = http.get(f"/v1/runs/{run}").json()
    assert (shown["status"], shown["exit_code"], shown["spend"]["tokens"], shown["spend"]["dollars"]) == (
        "queued",
        None,
        0,
        0,
    )
    finish(api, run)
    shown = http.get(f"/v1/runs/{run}").json()
    assert (shown["status"], shown["exit_code"], shown["summary"]) == ("succeeded", 0, "done")
    assert http.get("/v1/runs").json()["items"] == [shown]


@pytest.mark.parametrize(
    "path", ["x", "R" + "a" * 12, "r" + "a" * 11, "r" + "a" * 13, "%00", "..%2f..", "r" + "a" * 12 + "%0a"]
)
def test_what_cannot_be_an_id_is_not_found(http: httpx.Client, path: str) -> None:
    response = http.get(f"/v1/runs/{path}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_a_wait_ends_with_the_run(api: Api, http: httpx.Client) -> None:
    run = submit(http)
    threading.Timer(0.2, finish, [api, run]).start()
    assert http.get(f"/v1/runs/{run}", params={"wait": 20}).json()["status"] == "succeeded"


def test_a_wait_ends_when_its_time_is_over(http: httpx.Client) -> None:
    run = submit(http)
    assert http.get(f"/v1/runs/{run}", params={"wait": 0.1}).json()["status"] == "queued"
    for wait in ("61", "-1", "nan", "inf"):
        assert http.get(f"/v1/runs/{run}", params={"wait": wait}).status_code == 400


def test_a_cancel_is_recorded_once(api: Api, http: httpx.Client) -> None:
    run = submit(http)
    first = http.post(f"/v1/runs/{run}/cancel", json={"why": "superseded"})
    again = http.post(f"/v1/runs/{run}/cancel")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json() == {"run": run, "status": "cancelling", "message_id": None}
    kinds = [event.event_type for event in api.parts.store.events(run)]
    assert kinds == ["run_accepted", "cancel_requested", "status_changed"]
    state = api.parts.store.state(run)
    assert (state.status, state.reason) == (Status.CANCELLING, Reason.CANCELLED_BY_USER)
    assert api.hints.runs[-1] == run


def test_a_cancel_of_a_run_that_is_over_says_how_it_ended(api: Api, http: httpx.Client) -> None:
    run = submit(http)
    finish(api, run)
    response = http.post(f"/v1/runs/{run}/cancel", json={})
    assert (response.status_code, response.json()["status"]) == (200, "succeeded")
    assert api.parts.store.state(run).status is Status.SUCCEEDED


def test_a_cancel_needs_its_scope(api: Api, http: httpx.Client) -> None:
    run = submit(http)
    with api.client(Scope.SUBMIT, Scope.READ) as other:
        assert other.post(f"/v1/runs/{run}/cancel").status_code == 403
    with api.client(Scope.CANCEL) as other:
        assert other.post(f"/v1/runs/{run}/cancel").status_code == 202


# --- What steps need --------------------------------------------------------------------------------------------------

POOLS = Pools(
    pools=(Pool(name="cpu", max_memory=64 << 30), Pool(name="a100", gpus_per_node=8, nodes=4, gpu_memory=40 << 30)),
    quota=GpuQuota(gpus=16),
)


def test_what_the_goal_says_its_steps_need_is_on_record(start_api: Callable[..., Api]) -> None:
    api = start_api(pools=POOLS)
    asked = {"gpus": 1, "gpu_memory": "40Gi", "cpu": "500m", "pool": "a100"}
    with api.client() as http:
        run = submit(http, resources=asked)
        shown = http.get(f"/v1/runs/{run}").json()["resources"]
        headers = {"Idempotency-Key": "k"}
        same = [http.post("/v1/runs", json=GOAL | {"resources": asked}, headers=headers).json() for _ in range(2)]

    assert api.parts.store.state(run).resources == Needs(gpus=1, gpu_memory=40 << 30, cpu=0.5, pool=("a100",))
    assert (shown["gpus"], shown["gpu_memory"], shown["pool"], shown["memory"]) == (1, 40 << 30, ["a100"], None)
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("resources", "field", "why"),
    [
        ({"gpus": 9}, "resources.gpus", "The nearest is a100, and it lacks this: gpus: a node of it has 8 GPUs"),
        ({"gpus": 8, "nodes": 3}, "resources.gpus", "the tenant may hold 16 GPUs at once, and this needs 24"),
        ({"gpu_memory": "80Gi"}, "resources.gpu_memory", "a GPU of it has 40Gi, and this needs 80Gi"),
        ({"pool": ["b200"]}, "resources.pool", "there is no pool 'b200'; there are cpu, a100"),
        ({"image": "acme/train:1"}, "resources.image", "in no image"),
        ({"gpus": 0.5}, "resources.gpus", "integer"),
        ({"gpu": 1}, "resources.gpu", ""),
        ({"memory": "1Gi", "shm": "2Gi"}, "resources", "shm counts as memory"),
    ],
)
def test_needs_that_can_never_be_met_are_refused_with_the_field_and_the_reason(
    start_api: Callable[..., Api], resources: dict[str, Any], field: str, why: str
) -> None:
    # Where steps are programs of this machine there are no images, and no second node.
    pools = POOLS.model_copy(update={"runs_images": "nodes" in resources})
    with start_api(pools=pools).client() as http:
        answer = http.post("/v1/runs", json=GOAL | {"resources": resources})
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert why in answer.json()["detail"]


# --- Rules, and the model ---------------------------------------------------------------------------------------------

RULES = {"waived": {"smoke_test": "proven last week"}, "cost_line_dollars": 2.5, "evaluation_data": ["data/test*"]}


def test_what_the_goal_says_of_rules_and_model_is_on_record(api: Api, http: httpx.Client) -> None:
    files = {"data/test-1.csv": "1", "data/train.csv": "2"}
    run = submit(http, rules=RULES, fallback_model="openai/other", effort="low", files=files)

    state = api.parts.store.state(run)

    assert state.rules == Terms.model_validate(RULES)
    assert (state.fallback_model, state.effort) == ("openai/other", "low")
    assert http.get(f"/v1/runs/{run}").json()["rules"] == RULES
    first = http.get(f"/v1/runs/{run}/events").json()["items"][0]
    assert first["data"]["rules"]["waived"] == {"smoke_test": "proven last week"}


def test_the_same_request_with_rules_is_the_same_run(http: httpx.Client) -> None:
    body = GOAL | {"rules": RULES, "files": {"data/test.csv": "1"}}

    answers = [http.post("/v1/runs", json=body, headers={"Idempotency-Key": "rules"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"rules": {"waived": {"sleep": "because"}}}, "rules.waived"),
        ({"rules": {"waived": {"seeds": ""}}}, "rules.waived.seeds"),
        ({"rules": {"waived": ["seeds"]}}, "rules.waived"),
        ({"rules": {"cost_line_dollars": -1}}, "rules.cost_line_dollars"),
        ({"rules": {"cost_line_dollars": "5"}}, "rules.cost_line_dollars"),
        ({"rules": {"evaluation_data": ["data/tset.csv"]}}, "rules.evaluation_data"),
        ({"rules": {"line": 3}}, "rules.line"),
        ({"effort": "extreme"}, "effort"),
        ({"effort": ""}, "effort"),
        ({"fallback_model": ""}, "fallback_model"),
        ({"fallback_model": "a b"}, "fallback_model"),
    ],
)
def test_rules_and_models_that_make_no_sense_are_refused(
    http: httpx.Client, fields: dict[str, Any], field: str
) -> None:
    answer = http.post("/v1/runs", json=GOAL | fields)

    assert answer.status_code == 422
    assert str(answer.json()["field"]).startswith(field)
