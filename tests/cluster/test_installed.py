"""Cohort as it is installed: its services as pods, each with as little as it needs, and the demo's goal in it."""

import json
from pathlib import Path

import pytest
from kubernetes import client

from deploy.trial.install import Installed
from deploy.trial.witness import Witness
from services.cli.client import path_of
from services.cli.commands.submit import post_goal
from services.cli.demo import TARGET, collect, goal
from services.cli.digits import split
from services.cli.report import read_run
from services.core.lifecycle import Status
from tests.cluster.admin import Admin, wait_until
from tests.cluster.errands import Clients, patiently

pytestmark = [pytest.mark.cluster, pytest.mark.installed, pytest.mark.timeout(400)]
SECONDS = 300


def nothing_is_left(admin: Admin, cohort: Installed) -> bool:
    """Whether the steps' namespace is as it was before there were runs."""
    namespace = cohort.place.steps
    kinds = (admin.batch.list_namespaced_job, admin.core.list_namespaced_pod, admin.core.list_namespaced_secret)
    return not any(kind(namespace).items for kind in kinds)


def test_the_demos_goal_is_reached(
    admin: Admin, cohort: Installed, clients: Clients, witness: Witness, tmp_path: Path
) -> None:
    digits = split()
    data = tmp_path / "digits-train.npz"
    data.write_bytes(digits.given)
    api = clients("demo")
    run = str(post_goal(api, goal(data), "demo-1")["run"])
    view = path_of("v1", "runs", run)
    wait_until(lambda: read_run(patiently(lambda: api.get(view, {"wait": 20}))).state.status.is_final, timeout=SECONDS)
    outcome = collect(api, run, digits, tmp_path / "result")

    state = outcome.state
    assert state.status is Status.SUCCEEDED, f"{state.reason} {state.detail}"
    assert outcome.accuracy is not None, outcome.why
    assert outcome.accuracy >= TARGET
    attempts = {name: [one.status for one in step.attempts] for name, step in state.steps.items()}
    # The commands of bash had a pod of their own, and it went with the run.
    assert attempts.pop("sandbox") in (["succeeded"], ["cancelled"])
    assert attempts == {"train": ["failed", "succeeded"], "evaluate": ["succeeded"]}
    everything = [one for step in state.steps.values() for one in step.attempts]
    assert all(one.log_complete and not one.gap_bytes for one in everything)
    assert "ValueError: could not broadcast" in (tmp_path / "result/logs/train-1.log").read_text()
    assert (tmp_path / "result/MODEL_CARD.md").stat().st_size
    events = [json.loads(line) for line in (tmp_path / "result/trace.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, state.seq + 1))
    assert {name: len(uids) for name, uids in witness.jobs.items() if name.startswith(run)} == {
        one.id: 1 for one in everything
    }
    wait_until(lambda: nothing_is_left(admin, cohort))


def test_only_the_controller_may_speak_to_the_cluster_and_nothing_secret_is_in_a_pods_spec(
    admin: Admin, cohort: Installed
) -> None:
    pods = admin.core.list_namespaced_pod(cohort.place.name).items
    volumes = {pod.metadata.labels["app"]: [volume.name for volume in pod.spec.volumes] for pod in pods}
    assert [name for name, mounted in volumes.items() if any("kube-api-access" in one for one in mounted)] == [
        "controller"
    ]
    with client.ApiClient(admin.settings) as api:
        specs = json.dumps([api.sanitize_for_serialization(pod.spec) for pod in pods])
    assert cohort.redis.password not in specs
    assert cohort.runner_secret not in specs


def test_the_controller_may_do_in_its_steps_namespace_what_it_does_and_no_more(admin: Admin, cohort: Installed) -> None:
    account = f"system:serviceaccount:{cohort.place.name}:cohort-controller"
    asked = {
        ("create", "batch", "jobs", cohort.place.steps): True,
        ("get", "", "secrets", cohort.place.steps): False,
        ("create", "batch", "jobs", cohort.place.name): False,
        ("get", "", "secrets", cohort.place.name): False,
        ("list", "", "nodes", ""): True,
        ("patch", "", "nodes", ""): False,
    }
    reviews = client.AuthorizationV1Api(admin.api)

    def may(verb: str, group: str, resource: str, namespace: str) -> bool:
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        body = {"spec": {"user": account, "resourceAttributes": attributes}}
        return bool(reviews.create_subject_access_review(body).status.allowed)

    assert {question: may(*question) for question in asked} == asked
