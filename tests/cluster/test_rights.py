"""What each account of the install may do in the cluster, seen with its own token: by what the cluster says, and by
what it refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.admin import Admin, Json
from tests.cluster.installation import Installed

pytestmark = [pytest.mark.cluster, pytest.mark.installed, pytest.mark.timeout(400)]

ROLE = Path(__file__).parents[2] / "deploy/kubernetes/controller-role.yaml"
CONTROLLER = "cohort-controller"
MAY_NOTHING = ("cohort-api", "cohort-worker", "cohort-redis", "cohort-scripted-model", "default")
Right = tuple[str, str, str]
# What everybody may: ask what they may.
_OF_ALL = {"authorization.k8s.io", "authentication.k8s.io"}
_POD = {"metadata": {"name": "stranger"}, "spec": {"containers": [{"name": "main", "image": "stranger"}]}}


@contextmanager
def acting_as(admin: Admin, account: str, namespace: str) -> Iterator[client.ApiClient]:
    """The cluster's API with the token of an account, and nothing else."""
    asked = {"spec": {"expirationSeconds": 3600, "audiences": []}}
    token = admin.core.create_namespaced_service_account_token(account, namespace, asked).status.token
    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = admin.settings.host, admin.settings.ssl_ca_cert
    settings.api_key = {"authorization": f"Bearer {token}"}
    with client.ApiClient(settings) as api:
        yield api


def rights(api: client.ApiClient, namespace: str) -> set[Right]:
    """All that this account may do there: verb, group, kind."""
    reviews = client.AuthorizationV1Api(api)
    status: Any = reviews.create_self_subject_rules_review({"spec": {"namespace": namespace}}).status
    assert not status.incomplete
    return {
        (verb, group, kind)
        for rule in status.resource_rules
        for verb in rule.verbs
        for group in rule.api_groups
        for kind in rule.resources
        if group not in _OF_ALL
    }


def role() -> set[Right]:
    """The controller's role as it is written down."""
    [rules] = [body["rules"] for body in yaml.safe_load_all(ROLE.read_text()) if body["kind"] == "Role"]
    return {
        (verb, group, kind)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
    }


def requests(api: client.ApiClient, cohort: Installed) -> dict[str, Callable[[], Any]]:
    """What nobody who broke into a service should get."""
    core, batch, rbac = client.CoreV1Api(api), client.BatchV1Api(api), client.RbacAuthorizationV1Api(api)
    apps = client.AppsV1Api(api)
    ours, steps = cohort.namespace, cohort.steps
    job = {"metadata": {"name": "stranger"}, "spec": {"template": {"spec": {**_POD["spec"], "restartPolicy": "Never"}}}}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding: Json = {"metadata": {"name": "stranger"}, "roleRef": reference, "subjects": []}
    asked = {"spec": {"expirationSeconds": 3600, "audiences": []}}
    return {
        "read our secrets": lambda: core.list_namespaced_secret(ours),
        "read the runner's secret": lambda: core.read_namespaced_secret("cohort-runner", ours),
        "read secrets of steps": lambda: core.list_namespaced_secret(steps),
        "read everybody's secrets": lambda: core.list_secret_for_all_namespaces(),
        "list our pods": lambda: core.list_namespaced_pod(ours),
        "make a pod beside us": lambda: core.create_namespaced_pod(ours, _POD),
        "make a pod among the steps": lambda: core.create_namespaced_pod(steps, _POD),
        "make a Job beside us": lambda: batch.create_namespaced_job(ours, job),
        "enter a pod": lambda: core.connect_get_namespaced_pod_exec("cohort-redis-0", ours, command=["sh"]),
        "change the services": lambda: apps.patch_namespaced_deployment("cohort-api", ours, {"spec": {"replicas": 0}}),
        "take another account": lambda: core.create_namespaced_service_account_token(CONTROLLER, ours, asked),
        "give itself rights": lambda: rbac.create_namespaced_role_binding(steps, binding),
        "change its role": lambda: rbac.patch_namespaced_role(CONTROLLER, steps, {"rules": []}),
        "change a node": lambda: core.patch_node("node-1", {"spec": {"unschedulable": True}}),
        "make a namespace": lambda: core.create_namespace({"metadata": {"name": "stranger"}}),
        "end the steps' namespace": lambda: core.delete_namespace(steps),
    }


def refused(requests: dict[str, Callable[[], Any]]) -> dict[str, bool]:
    """Of each whether the cluster refused it for want of a right."""

    def is_refused(request: Callable[[], Any]) -> bool:
        try:
            request()
        except ApiException as error:
            return bool(error.status == 403)
        return False

    return {name: is_refused(request) for name, request in requests.items()}


@pytest.mark.parametrize("account", MAY_NOTHING)
def test_a_service_that_has_nothing_to_do_with_the_cluster_may_do_nothing_in_it(
    admin: Admin, cohort: Installed, account: str
) -> None:
    with acting_as(admin, account, cohort.namespace) as api:
        for namespace in (cohort.namespace, cohort.steps, "default", "kube-system"):
            assert rights(api, namespace) == set(), namespace
        further = {
            "list Jobs": lambda: client.BatchV1Api(api).list_namespaced_job(cohort.steps),
            "list nodes": lambda: client.CoreV1Api(api).list_node(),
        }
        assert not [name for name, was in refused({**requests(api, cohort), **further}).items() if not was]


def test_the_controller_may_do_in_the_steps_namespace_what_its_role_says_and_nothing_elsewhere(
    admin: Admin, cohort: Installed
) -> None:
    # It reads nodes, since the tests' values let it.
    nodes = {("list", "", "nodes"), ("watch", "", "nodes")}
    with acting_as(admin, CONTROLLER, cohort.namespace) as api:
        assert rights(api, cohort.steps) == role() | nodes
        for namespace in (cohort.namespace, "default", "kube-system"):
            assert rights(api, namespace) == nodes, namespace
        assert not [name for name, was in refused(requests(api, cohort)).items() if not was]
        assert client.BatchV1Api(api).list_namespaced_job(cohort.steps).items is not None
        assert client.CoreV1Api(api).list_node().items


def test_the_account_of_steps_may_do_nothing(admin: Admin, cohort: Installed) -> None:
    with acting_as(admin, "default", cohort.steps) as api:
        assert rights(api, cohort.steps) == set()
        assert not [name for name, was in refused(requests(api, cohort)).items() if not was]
