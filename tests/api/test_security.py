"""Who may see and do what: every route of the OpenAPI document, asked by everyone who may not."""

import re
from typing import Any

import httpx
import pytest

from services.core.apikeys import Scope
from tests.api.conftest import Api, openapi_document
from tests.core.submitted import close_attempt, submit_attempt

# What a request to each route needs besides its path.
BODIES: dict[str, Any] = {
    "POST /v1/runs": {"goal": "x"},
    "POST /v1/runs/{run}/messages": {"content": "x"},
    "POST /v1/runs/{run}/cancel": {},
    "POST /v1/keys": {"name": "x", "scopes": ["read"]},
}
SCOPES = {
    "POST /v1/runs": Scope.SUBMIT,
    "POST /v1/runs/{run}/messages": Scope.SUBMIT,
    "POST /v1/runs/{run}/cancel": Scope.CANCEL,
    "POST /v1/keys": Scope.ADMIN,
    "GET /v1/keys": Scope.ADMIN,
    "DELETE /v1/keys/{key}": Scope.ADMIN,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "route" in metafunc.fixturenames:
        routes = [
            f"{method.upper()} {path}"
            for path, methods in openapi_document()["paths"].items()
            for method in methods
            if path.startswith("/v1")
        ]
        wanted = [route for route in routes if "{run}" in route] if "of_a_run" in metafunc.function.__name__ else routes
        metafunc.parametrize("route", wanted)


def path_of(route: str, run: str = "rk3v9x2m4q8aa") -> str:
    values = {"run": run, "step": "train", "path": "train/model.bin", "key": "0" * 12}
    return re.sub(r"\{(\w+)(:path)?\}", lambda match: values[match[1]], route.split()[1])


def ask(http: httpx.Client, route: str, run: str = "rk3v9x2m4q8aa") -> httpx.Response:
    return http.request(route.split()[0], path_of(route, run), json=BODIES.get(route))


def test_a_route_of_a_run_shows_nothing_to_another_tenant(api: Api, route: str) -> None:
    attempt = submit_attempt(api.parts.store)
    run = attempt.split("-")[0]
    sha = api.parts.artifacts.put(b"model")
    close_attempt(api.parts.store, attempt, outputs=[{"path": "model.bin", "sha256": sha, "size": 5}])
    before = api.parts.store.state(run)
    with api.client(tenant="umbrella") as other:
        response = ask(other, route, run)
    assert response.status_code == 404, response.text
    missing = response.json()
    assert missing["type"] == "urn:cohort:problem:run-not-found"
    with api.client(tenant="umbrella") as other:
        # Not told apart from a run that is nowhere.
        unknown = ask(other, route, "rzzzzzzzzzzzz").json()
    assert missing["detail"].replace(run, "") == unknown["detail"].replace("rzzzzzzzzzzzz", "")
    assert api.parts.store.state(run) == before


def test_a_route_wants_a_key(api: Api, route: str) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer ck_x_y"},
        {"Authorization": "Basic eA=="},
        {"Authorization": "Bearer"},
    ):
        with httpx.Client(base_url=api.server.url, headers=headers, trust_env=False, verify=False) as http:
            response = ask(http, route)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"


def test_a_route_wants_its_scope(api: Api, route: str) -> None:
    if route == "GET /v1/whoami":
        return
    wanted = SCOPES.get(route, Scope.READ)
    others = [scope for scope in Scope if scope not in (wanted, Scope.ADMIN)]
    with api.client(*others) as http:
        response = ask(http, route)
        assert response.status_code == 403, response.text
        assert str(wanted) in response.json()["detail"]
    for scope in (wanted, Scope.ADMIN):
        with api.client(scope) as http:
            assert ask(http, route).status_code not in (401, 403)


def test_a_revoked_key_opens_nothing(api: Api, route: str) -> None:
    with api.client() as http:
        [key] = http.get("/v1/keys").json()["items"]
        assert http.delete(f"/v1/keys/{key['id']}").status_code == 200
        assert ask(http, route).status_code == 401


def test_nobody_reads_a_body_before_they_know_whose_it_is(api: Api) -> None:
    for path in ("/v1/runs", "/v1/runs/rk3v9x2m4q8aa/messages", "/v1/keys"):
        response = httpx.post(api.server.url + path, content=b"{not json", trust_env=False)
        assert response.status_code == 401


def test_keys_are_made_listed_and_revoked_within_the_tenant(api: Api, http: httpx.Client) -> None:
    made = http.post("/v1/keys", json={"name": "ci", "scopes": ["read", "submit"]})
    assert made.status_code == 201
    key = made.json()
    with httpx.Client(
        base_url=api.server.url, headers={"Authorization": f"Bearer {key['secret']}"}, trust_env=False
    ) as other:
        assert other.get("/v1/whoami").json() | {"secret": key["secret"]} == key
        assert (key["tenant"], key["scopes"]) == ("acme", ["submit", "read"])
    with api.client(tenant="umbrella") as stranger:
        assert len(stranger.get("/v1/keys").json()["items"]) == 1
        assert stranger.delete(f"/v1/keys/{key['id']}").status_code == 404
    listed = http.get("/v1/keys")
    assert {item["name"] for item in listed.json()["items"]} == {"ci", "test"}
    assert key["secret"].rpartition("_")[2] not in listed.text
    assert http.post("/v1/keys", json={"name": "x", "scopes": ["read"], "tenant": "umbrella"}).status_code == 403


@pytest.mark.parametrize(
    "body", [{}, {"name": "", "scopes": ["read"]}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}]
)
def test_a_key_that_cannot_be_is_refused(http: httpx.Client, body: object) -> None:
    assert http.post("/v1/keys", json=body).status_code == 422


def test_no_answer_is_cached_or_sniffed(http: httpx.Client) -> None:
    for path in ("/v1/runs", "/v1/runs/x", "/nowhere", "/healthz", "/openapi.json"):
        headers = http.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
