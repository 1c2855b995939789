"""What is taken from under the installed services: their Redis, and the node they run on. Nothing accepted is lost."""

import itertools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import pytest
import redis

from services.core.lifecycle import Status
from tests.cluster.admin import Admin, wait_until
from tests.cluster.errands import Clients, Errand, begin, patiently
from tests.cluster.gates import Gates
from tests.cluster.installation import Installed, restarts
from tests.cluster.programs import kubectl, started
from tests.cluster.test_deaths import attempt, check
from tests.cluster.test_installed import nothing_is_left
from tests.cluster.test_upgrades import begin_patient
from tests.cluster.witness import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.installed, pytest.mark.timeout(600)]

# What the goals take is taken on two cores.
_PAUSE_SECONDS, _MOST = 0.03, 150
_BESIDE_REDIS = ("api", "worker", "controller", "scripted-model")


@dataclass
class Submitted:
    """Goals that were accepted with 202, and when (seconds since the epoch)."""

    runs: dict[str, float] = field(default_factory=dict)


@contextmanager
def submitting(cohort: Installed, key: str) -> Iterator[Submitted]:
    """Submit one goal after another beside the test, whatever becomes of them."""
    accepted, stopped = Submitted(), threading.Event()

    def submit() -> None:
        with httpx.Client(
            base_url=cohort.url, headers={"Authorization": f"Bearer {key}"}, timeout=5, trust_env=False
        ) as http:
            for number in itertools.count():
                if stopped.wait(_PAUSE_SECONDS) or len(accepted.runs) >= _MOST:
                    return
                try:
                    answer = http.post("/v1/runs", json={"goal": f"turns=1 {number}", "model": "scripted/echo"})
                except httpx.TransportError:
                    continue
                if answer.status_code == 202:
                    accepted.runs[answer.json()["run"]] = time.time()

    thread = threading.Thread(target=submit, daemon=True)
    thread.start()
    try:
        yield accepted
    finally:
        stopped.set()
        thread.join(30)


def take_away(admin: Admin, cohort: Installed, how: str) -> float:
    """End the Redis pod: told to, or killed. Returns when, in seconds since the epoch."""
    [pod] = cohort.pods("redis")
    grace = {}
    if how == "killed":
        pids = admin.processes(pod.metadata.uid, "redis-server")
        assert pids
        admin.kill(pids)
        grace = {"grace_period_seconds": 0}
    at = time.time()
    admin.core.delete_namespaced_pod(pod.metadata.name, cohort.namespace, **grace)
    wait_until(lambda: [one.metadata.uid for one in cohort.pods("redis")] not in ([], [pod.metadata.uid]))
    return at


def consumers(cohort: Installed) -> set[str]:
    """The addresses of those who wait for hints."""
    with redis.Redis.from_url(cohort.redis_url(1), decode_responses=True) as broker:
        return {one["addr"].partition(":")[0] for one in broker.client_list() if one["cmd"] == "brpop"}


@pytest.mark.parametrize("how", ["told to end", "killed"])
def test_redis_comes_back_with_all_that_was_accepted_and_everybody_goes_on(
    admin: Admin, cohort: Installed, clients: Clients, gates: Gates, witness: Witness, how: str
) -> None:
    cohort.until_whole()
    before = {pod.metadata.name: restarts(pod) for pod in cohort.pods() if "redis" not in pod.metadata.name}
    api = clients("lossless")
    step = begin(clients("lossless-step"), gates, ("half",))
    wait_until(lambda: gates.reached(step.token, "half"))
    with submitting(cohort, cohort.key("lossless")) as accepted:
        wait_until(lambda: len(accepted.runs) > 20)
        at = take_away(admin, cohort, how)
        cohort.until_whole()
        count = len(accepted.runs)
        wait_until(lambda: len(accepted.runs) > min(count + 5, _MOST - 1))
    assert [when for when in accepted.runs.values() if at - 1 < when < at + 1], "none was accepted just before"
    for run in accepted.runs:
        errand = Errand(api, run, uuid4().hex)
        errand.until_over()
        assert errand.state().status is Status.SUCCEEDED
        assert errand.events()
    gates.open(step.token)
    step.until_over()
    check(step, gates, witness, Status.SUCCEEDED)
    # Nobody was restarted for want of a Redis, and every worker takes hints again.
    wait_until(lambda: consumers(cohort) == {pod.status.pod_ip for pod in cohort.pods("worker")})
    assert {pod.metadata.name: restarts(pod) for pod in cohort.pods() if "redis" not in pod.metadata.name} == before
    wait_until(lambda: nothing_is_left(admin, cohort))


def test_a_drained_node_waits_for_the_budgets_and_the_runs_go_on_where_there_is_room_again(
    admin: Admin, cohort: Installed, clients: Clients, gates: Gates
) -> None:
    cohort.until_whole()
    node = admin.core.list_node().items[0].metadata.name
    first = {pod.metadata.uid for pod in cohort.pods()}
    step = begin(clients("drained-step"), gates, ("half",))
    wait_until(lambda: gates.reached(step.token, "half"))
    patient = begin_patient(clients("drained"), turns=20)
    wait_until(lambda: patient.state().turn > 1)
    # All of this install, and the steps: no other test's.
    ours = "app.kubernetes.io/managed-by in (Helm, cohort)"
    refused = set()
    with started("drain", node, f"--pod-selector={ours}", "--delete-emptydir-data", "--timeout=240s") as drain:
        assert drain.stdout
        try:
            for line in drain.stdout:
                if found := re.search(r'pods/"cohort-([a-z]+)-.*would violate the pod\'s disruption budget', line):
                    refused.add(found[1])
                if refused >= {"worker", "controller"}:
                    break
            assert all(len(cohort.pods(part)) == 1 for part in ("worker", "controller"))
        finally:
            kubectl("uncordon", node)
        rest = drain.stdout.read()
        assert drain.wait(300) == 0, rest
    cohort.until_whole()
    assert not first & {pod.metadata.uid for pod in cohort.pods()}
    # The pod of the step went with its node, which is the platform's business: another attempt, and nobody was asked.
    wait_until(lambda: gates.reached(step.token, "half") == 2)
    gates.open(step.token)
    for run in (step, patient):
        run.until_over()
        assert run.state().status is Status.SUCCEEDED
    state = patiently(step.state)
    assert [one.status for one in state.steps["train"].attempts] == ["lost", "succeeded"]
    assert attempt(state).log_complete
    wait_until(lambda: nothing_is_left(admin, cohort))


def test_a_release_that_is_taken_away_and_installed_again_goes_on_where_it_was(
    admin: Admin, cohort: Installed, clients: Clients, gates: Gates
) -> None:
    cohort.until_whole()
    key = cohort.key("returning")
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=10, trust_env=False) as http:
        goal = {"goal": "turns=1", "model": "scripted/echo"}
        run = http.post(f"{cohort.url}/v1/runs", json=goal).raise_for_status().json()["run"]
        wait_until(lambda: http.get(f"{cohort.url}/v1/runs/{run}").json()["status"] == "succeeded")
        runner = cohort.secret("runner", "runner-secret")
        cohort.release.uninstall()
        assert admin.found(admin.core.read_namespace, cohort.steps) is None
        assert not cohort.pods()
        cohort.release.install(cohort.values)
        assert cohort.secret("runner", "runner-secret") == runner
        assert http.get(f"{cohort.url}/v1/runs/{run}").raise_for_status().json()["status"] == "succeeded"
