import httpx

from services.core import events as ev
from services.core.records import Stage
from services.core.store import Draft
from tests.api.conftest import Api
from tests.core.submitted import submit_attempt


def test_a_run_is_explained_with_what_its_live_attempts_say(api: Api, http: httpx.Client) -> None:
    attempt = submit_attempt(api.parts.store)
    run = attempt.split("-")[0]
    progressed = ev.AttemptProgressed(step="train", attempt=attempt, stage=Stage.SCHEDULING, detail="0/4 nodes: full")
    api.parts.store.record(run, "progressed", lambda _: Draft((progressed,)))

    told = http.get(f"/v1/runs/{run}/why").json()

    assert (told["run"], told["status"], told["reason"]) == (run, "queued", "")
    assert told["text"] == f"{told['here']} {told['next']}"
    assert told["here"].startswith(f"Run {run} was accepted ")


def test_another_tenants_run_is_not_explained(api: Api, http: httpx.Client) -> None:
    run = submit_attempt(api.parts.store).split("-")[0]

    with api.client(tenant="other") as other:
        assert other.get(f"/v1/runs/{run}/why").status_code == 404
    assert http.get("/v1/runs/r00000000000x/why").status_code == 404
