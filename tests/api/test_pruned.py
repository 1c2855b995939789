"""What the API answers of runs that have left Redis: the same as before, and nothing new is taken for them."""

import httpx
import pytest

from services.core.keys import Keys
from services.keeping.garbage import Garbage
from services.keeping.install import install_of
from tests.api.conftest import Api
from tests.keeping.conftest import House

PATHS = [
    "",
    "/why",
    "/events?after=2",
    "/steps",
    "/steps/train",
    "/steps/train/log",
    "/steps/train/log?offset=-10",
    "/steps/train/metrics",
    "/artifacts",
    "/artifacts/model.bin",
    "/trace",
    "/workspace",
    "/workspace/files/train.py",
    "/workspace/archive",
    "/workspace/diff",
]


@pytest.fixture
def house(api: Api) -> House:
    return House(install_of(api.parts.store.client, Keys(), api.parts.artifacts))


@pytest.mark.parametrize("path", PATHS)
def test_a_run_that_left_answers_as_before(house: House, http: httpx.Client, path: str) -> None:
    run = house.story()
    before = http.get(f"/v1/runs/{run}{path}")
    house.pruner.prune(run)
    after = http.get(f"/v1/runs/{run}{path}")
    assert before.status_code == 200, before.text
    assert (after.status_code, after.content) == (before.status_code, before.content)


def test_listings_still_name_it(house: House, http: httpx.Client) -> None:
    runs = [house.story() for _ in range(3)]
    before = http.get("/v1/runs", params={"status": "succeeded"}).json()
    for run in runs:
        house.pruner.prune(run)
    assert http.get("/v1/runs", params={"status": "succeeded"}).json() == before
    assert {item["run"] for item in before["items"]} == set(runs)


def test_its_streams_end_like_those_of_any_run_that_is_over(house: House, http: httpx.Client) -> None:
    run = house.story()
    house.pruner.prune(run)
    with http.stream("GET", f"/v1/runs/{run}/steps/train/log/stream") as response:
        text = "".join(response.iter_text())
    assert "loss 0.5" in text
    assert "event: end" in text


def test_nothing_new_is_taken_for_it(house: House, http: httpx.Client) -> None:
    run = house.story()
    house.pruner.prune(run)
    said = http.post(f"/v1/runs/{run}/messages", json={"content": "hello"})
    assert said.status_code == 409
    assert http.post(f"/v1/runs/{run}/cancel").status_code == 200


def test_another_tenant_does_not_see_it(house: House, api: Api) -> None:
    run = house.story()
    house.pruner.prune(run)
    with api.client(tenant="stranger") as stranger:
        assert stranger.get(f"/v1/runs/{run}").status_code == 404


def test_a_run_that_was_forgotten_is_gone(house: House, http: httpx.Client) -> None:
    run = house.story()
    house.pruner.prune(run)
    assert http.get(f"/v1/runs/{run}").status_code == 200
    list(Garbage(house.install).archives(-1))
    assert http.get(f"/v1/runs/{run}").status_code == 404
    assert http.get("/v1/runs").json()["items"] == []
