"""What a real API server refuses: it is said to whoever can mend it, and once that is done the attempt goes on by
itself."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from services.core.pools import Pool, Pools
from services.core.records import Stage
from services.core.resources import Resources
from services.core.taxonomy import Owner
from services.worker.executors import AttemptSpec, Held, Observed, Phase
from services.worker.executors.kubernetes.client import connect
from services.worker.executors.kubernetes.executor import KubernetesExecutor
from services.worker.executors.kubernetes.manifest import PodTerms
from services.worker.executors.kubernetes.metrics import Metrics
from services.worker.executors.kubernetes.valves import Limits
from tests.cluster.admin import RUNNER_IMAGE, SHELL_IMAGE
from tests.cluster.gate import Gate
from tests.cluster.world import KubernetesWorld, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

ROLE = "cohort-controller"
PROBE = {
    "metadata": {"generateName": "probe-"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": SHELL_IMAGE}]}}},
}


@pytest.fixture
def gate(world: KubernetesWorld, tmp_path: Path) -> Iterator[Gate]:
    with Gate(world.admin, world.namespace, tmp_path) as gate:
        yield gate


def refused(world: KubernetesWorld, spec: AttemptSpec, executor: KubernetesExecutor | None = None) -> Observed:
    """The attempt, once the cluster has refused it."""
    executor = executor or world.executor

    def ask() -> Observed | None:
        try_to_submit(executor, spec)
        seen = executor.inspect(spec.attempt)
        return seen if seen.diagnosis else None

    return wait_until(ask, pause=0.05)


def try_to_submit(executor: KubernetesExecutor, spec: AttemptSpec) -> None:
    """As the controller does in each of its rounds."""
    try:
        executor.submit(spec)
    except Held:
        return


def goes_on(world: KubernetesWorld, spec: AttemptSpec, executor: KubernetesExecutor | None = None) -> None:
    """Check that it runs once nothing forbids it."""
    executor = executor or world.executor

    def is_settled() -> bool:
        try_to_submit(executor, spec)
        return world.kept(spec.attempt).accepted is not None

    wait_until(is_settled, pause=0.05)
    assert world.kept(spec.attempt).log == b"ran\n"
    assert executor.inspect(spec.attempt).diagnosis is None


def until_jobs_are(world: KubernetesWorld, *, taken: bool) -> None:
    """Wait until what was just changed about the API server is in force."""

    def is_so() -> bool:
        try:
            world.admin.batch.create_namespaced_job(world.namespace, PROBE, dry_run="All")
        except ApiException:
            return not taken
        return taken

    wait_until(is_so, pause=0.05)


def finding(seen: Observed) -> tuple[str, Owner, bool]:
    """What is wrong, who can mend it, and whether the attempt has ended of it."""
    assert seen.diagnosis
    assert seen.detail == seen.diagnosis.summary
    return seen.diagnosis.code, seen.diagnosis.owner, seen.diagnosis.is_final


@pytest.mark.parametrize("status", [{"code": 403, "message": "no team label"}, {"message": "no team label"}])
def test_a_webhook_that_denies_is_named_with_its_reason(
    world: KubernetesWorld, gate: Gate, status: dict[str, Any]
) -> None:
    gate.deny("jobs", status)
    until_jobs_are(world, taken=False)
    spec = world.spec("echo ran")

    seen = refused(world, spec)

    assert (finding(seen), seen.stage) == (("pod_denied", Owner.PLATFORM, False), Stage.QUEUED)
    assert '"gate.cohort.test" forbids the step\'s Job: no team label' in seen.detail
    gate.open()
    goes_on(world, spec)


def test_a_webhook_that_does_not_answer_is_named_and_waited_for(world: KubernetesWorld, gate: Gate) -> None:
    gate.deny("jobs", {})
    gate.answer = None
    until_jobs_are(world, taken=False)
    spec = world.spec("echo ran")

    seen = refused(world, spec)

    assert (finding(seen), seen.phase) == (("webhook_failing", Owner.PLATFORM, False), Phase.STARTING)
    assert '"gate.cohort.test" does not answer' in seen.detail
    gate.answer = {"allowed": True}
    goes_on(world, spec)


def test_a_webhook_that_makes_pods_what_pod_security_forbids_is_seen_in_the_job(
    world: KubernetesWorld, gate: Gate
) -> None:
    gate.change("pods", [{"op": "add", "path": "/spec/hostNetwork", "value": True}])
    spec = world.spec("echo ran")
    world.executor.submit(spec)

    seen = refused(world, spec)

    assert (finding(seen), seen.stage) == (("pod_denied", Owner.PLATFORM, False), Stage.ADMITTED)
    assert "pod security forbids the step's pod: host namespaces (hostNetwork=true)" in seen.detail
    gate.open()
    goes_on(world, spec)


def test_a_policy_that_denies_is_named_with_its_reason(world: KubernetesWorld) -> None:
    registration, name = client.AdmissionregistrationV1Api(world.admin.api), world.namespace
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"], "operations": ["CREATE"]}
    validation = {"expression": "'team' in object.metadata.labels", "message": "a Job needs the label team"}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": name}}
    policy = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}}
    registration.create_validating_admission_policy({"metadata": {"name": name}, "spec": policy})
    registration.create_validating_admission_policy_binding({"metadata": {"name": name}, "spec": binding})
    spec = world.spec("echo ran")
    try:
        until_jobs_are(world, taken=False)
        seen = refused(world, spec)
    finally:
        registration.delete_validating_admission_policy_binding(name)
        registration.delete_validating_admission_policy(name)

    assert finding(seen) == ("pod_denied", Owner.PLATFORM, False)
    assert f'policy "{name}" forbids the step\'s Job: a Job needs the label team' in seen.detail
    goes_on(world, spec)


@pytest.mark.parametrize(("counted", "stage"), [("count/jobs.batch", Stage.QUEUED), ("count/secrets", Stage.STARTING)])
def test_a_quota_of_jobs_or_secrets_is_named(world: KubernetesWorld, counted: str, stage: Stage) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {counted: "0"}}}
    world.admin.core.create_namespaced_resource_quota(world.namespace, quota)
    wait_until(lambda: world.admin.core.read_namespaced_resource_quota("none", world.namespace).status.hard)
    spec = world.spec("echo ran")

    seen = refused(world, spec)

    assert finding(seen) == ("quota_exceeded", Owner.PLATFORM, False)
    assert '"none"' in seen.detail
    assert wait_until(lambda: refused(world, spec).stage is stage)
    world.admin.core.delete_namespaced_resource_quota("none", world.namespace)
    goes_on(world, spec)


def test_a_limit_of_the_namespace_is_told_to_whoever_asked_for_more(world: KubernetesWorld) -> None:
    limit = {"type": "Container", "max": {"memory": "400Mi"}}
    world.admin.core.create_namespaced_limit_range(
        world.namespace, {"metadata": {"name": "small"}, "spec": {"limits": [limit]}}
    )
    spec = world.spec("echo ran", resources=Resources(cpu=0.02, memory=500 << 20))

    seen = refused(world, spec)

    assert finding(seen) == ("limit_range", Owner.RESOURCES, False)
    assert "maximum memory usage per Container is 400Mi" in seen.detail
    world.admin.core.delete_namespaced_limit_range("small", world.namespace)
    goes_on(world, spec)


@pytest.mark.parametrize(("resource", "what"), [("jobs", "the step's Job"), ("secrets", "the Secret")])
def test_a_right_that_was_taken_away_is_named(world: KubernetesWorld, resource: str, what: str) -> None:
    """Only the right to create: without that to watch the cluster is not seen, and nothing is known."""
    rbac = client.RbacAuthorizationV1Api(world.admin.api)
    rules = rbac.read_namespaced_role(ROLE, world.namespace).to_dict()["rules"]
    rules = [
        {"apiGroups": rule["api_groups"], "resources": rule["resources"], "verbs": rule["verbs"]} for rule in rules
    ]
    fewer = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if resource not in rule["resources"] or verb != "create"]}
        for rule in rules
    ]
    rbac.patch_namespaced_role(ROLE, world.namespace, {"rules": [rule for rule in fewer if rule["verbs"]]})
    wait_until(lambda: not may_create(world, resource))
    spec = world.spec("echo ran")

    seen = refused(world, spec)

    assert finding(seen) == ("not_allowed", Owner.PLATFORM, False)
    assert f"we may not make {what}" in seen.detail
    rbac.patch_namespaced_role(ROLE, world.namespace, {"rules": rules})
    goes_on(world, spec)


def may_create(world: KubernetesWorld, resource: str) -> bool:
    """Whether the controller's account may, as the API server sees it now."""
    asked = {"namespace": world.namespace, "verb": "create", "resource": resource}
    user = f"system:serviceaccount:{world.namespace}:{ROLE}"
    review = {"spec": {"user": user, "resourceAttributes": asked}}
    found = client.AuthorizationV1Api(world.admin.api).create_subject_access_review(review)
    return bool(found.status.allowed)


def test_what_is_wrong_with_a_pool_is_the_operators_to_mend(world: KubernetesWorld) -> None:
    wrong = Pools(pools=(Pool(name="local", node_selector={"a..b/c": "d"}),))
    executor = executor_with(world, wrong, world.namespace, world.kubeconfig)
    spec = world.spec("echo ran")

    seen = refused(world, spec, executor)

    assert finding(seen) == ("pool_invalid", Owner.PLATFORM, False)
    assert "spec.template.spec.nodeSelector" in seen.detail
    executor.stop()
    goes_on(world, spec)


def test_what_is_wrong_with_the_step_is_final_at_once(world: KubernetesWorld) -> None:
    seen = refused(world, world.spec("echo ran", env={"A=B": "1"}))

    assert finding(seen) == ("request_invalid", Owner.CODE, True)
    assert "spec.template.spec.containers[0].env" in seen.detail


def test_a_namespace_that_goes_and_comes_back_is_waited_for(world: KubernetesWorld) -> None:
    core, name = world.admin.core, world.admin.make_namespace()
    holding = {"metadata": {"name": "holding", "finalizers": ["cohort.test/hold"]}}
    core.create_namespaced_config_map(name, holding)
    executor = executor_with(world, Pools.local(), name, Path(os.environ["KUBECONFIG"]))
    spec = world.spec("echo ran")
    core.delete_namespace(name)
    going = refused(world, spec, executor)
    core.patch_namespaced_config_map("holding", name, {"metadata": {"finalizers": None}})
    wait_until(lambda: not world.admin.found(core.read_namespace, name))

    wait_until(lambda: "there is no place" in refused(world, spec, executor).detail, pause=0.1)

    assert finding(going) == ("no_namespace", Owner.PLATFORM, False)
    assert going.detail == "the namespace of the steps is being deleted"
    assert finding(refused(world, spec, executor)) == ("no_namespace", Owner.PLATFORM, False)
    core.create_namespace({"metadata": {"name": name}})
    goes_on(world, spec, executor)
    executor.stop()
    world.admin.end_namespace(name)


def executor_with(world: KubernetesWorld, pools: Pools, namespace: str, kubeconfig: Path) -> KubernetesExecutor:
    metrics = Metrics()
    terms = PodTerms(runner_image=RUNNER_IMAGE, image=SHELL_IMAGE, disk_bytes=2 << 30)
    executor = KubernetesExecutor(connect(kubeconfig, namespace, metrics.requests), pools, terms, Limits(), metrics)
    executor.start()
    return executor
