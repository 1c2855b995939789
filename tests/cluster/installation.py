"""Cohort installed by its chart on the cluster that KUBECONFIG names, for as long as tests or benchmarks need it.

This machine has to be a node of the cluster: Services are reached from it by their addresses.
"""

import base64
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import httpx
import yaml
from kubernetes.client.exceptions import ApiException

from services.core.apikeys import ApiKeys, Scope
from services.core.redis import connect
from tests.cluster.admin import Admin, wait_until
from tests.cluster.disks import disks
from tests.cluster.programs import Release, Values

NAME = "cohort"
TAG = os.environ.get("CLUSTER_TEST_TAG", "test")
PARTS = ("api", "worker", "controller", "redis", "scripted-model")
_VALUES = Path(__file__).with_name("values.yaml")
_LABELS = f"app.kubernetes.io/instance={NAME}"
_REDIS_PORT, _API_PORT = 6379, 8470
_LOG_LINES = 80


@dataclass(frozen=True)
class Installed:
    """A Cohort that is up. `ready_seconds` is what its install took."""

    admin: Admin
    release: Release
    values: Values
    ready_seconds: float = 0.0

    @property
    def namespace(self) -> str:
        """Where its services are."""
        return self.release.namespace

    @property
    def steps(self) -> str:
        """The steps' namespace."""
        return f"{self.namespace}-steps"

    @property
    def url(self) -> str:
        """Its API."""
        return f"http://{self.address('api')}:{_API_PORT}"

    def address(self, part: str) -> str:
        """That of a part's Service."""
        service: Any = self.admin.core.read_namespaced_service(f"{NAME}-{part}", self.namespace)
        return str(service.spec.cluster_ip)

    def secret(self, name: str, key: str) -> str:
        """One value out of a Secret."""
        found: Any = self.admin.core.read_namespaced_secret(f"{NAME}-{name}", self.namespace)
        return base64.b64decode(found.data[key]).decode()

    def redis_url(self, database: int = 0) -> str:
        """The bundled Redis, with its password."""
        return f"redis://:{self.secret('redis', 'password')}@{self.address('redis')}:{_REDIS_PORT}/{database}"

    def key(self, tenant: str) -> str:
        """A new API key of a tenant, with every right."""
        with connect(self.redis_url()) as redis:
            return ApiKeys(redis).create(tenant, [Scope.ADMIN], "test")[1]

    def pods(self, part: str = "") -> list[Any]:
        """The pods of a part, or of all, that run and are not about to end."""
        selector = f"{_LABELS},app.kubernetes.io/component={part}" if part else _LABELS
        pods = self.admin.core.list_namespaced_pod(self.namespace, label_selector=selector).items
        return [pod for pod in pods if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp]

    def is_whole(self) -> bool:
        """Whether every part has all its pods, and all of them are ready."""
        replicas = {part: self.values.get(part, {}).get("replicas", 1) for part in PARTS}
        return all(
            len(pods := self.pods(part)) == count and all(map(is_ready, pods)) for part, count in replicas.items()
        )

    def until_whole(self) -> None:
        """Wait for that, and for the API to answer."""
        wait_until(self.is_whole, timeout=180, message="every pod is there and ready", pause=0.2)
        wait_until(self.answers, message="the API answers", pause=0.1)

    def answers(self) -> bool:
        """Whether the API is ready."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def account(self) -> str:
        """What its pods wait for, and what they logged last."""
        told = []
        for pod in self.admin.core.list_namespaced_pod(self.namespace).items:
            name, state = pod.metadata.name, "ready" if is_ready(pod) else f"not ready: {_lack(pod)}"
            told.append(f"--- {name}, {state}, started again {restarts(pod)} times")
            with suppress(ApiException):
                told.append(self.admin.core.read_namespaced_pod_log(name, self.namespace, tail_lines=_LOG_LINES))
        return "\n".join(told)


@contextmanager
def installed(admin: Admin, playbooks: Mapping[str, str]) -> Iterator[Installed]:
    """Everything, until the end of the context. `playbooks`: further ones for the scripted model."""
    namespace = f"cohort-{uuid.uuid4().hex[:8]}"
    values = merged(
        yaml.safe_load(_VALUES.read_text()),
        {"images": {"tag": TAG}, "scriptedModel": {"playbooks": dict(playbooks)}},
    )
    release = Release(NAME, namespace)
    claims = {"artifacts": f"{NAME}-artifacts", "redis": f"data-{NAME}-redis-0"}
    with ExitStack() as stack:
        stack.enter_context(disks(admin, namespace, claims))
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        admin.core.create_namespace({"metadata": {"name": namespace, "labels": labels}})
        stack.callback(_remove, admin, namespace)
        cohort, began = Installed(admin, release, values), time.monotonic()
        try:
            release.install(values)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{cohort.account()}") from None
        yield replace(cohort, ready_seconds=time.monotonic() - began)


def merged(*layers: Values) -> dict[str, Any]:
    """Values as helm merges them: later ones win, maps are merged."""
    return reduce(_merge, layers, {})


def is_ready(pod: Any) -> bool:
    """Whether requests are sent to it."""
    return any((one.type, one.status) == ("Ready", "True") for one in pod.status.conditions or ())


def restarts(pod: Any) -> int:
    """How often its containers were started again."""
    return sum(one.restart_count for one in pod.status.container_statuses or ())


def _lack(pod: Any) -> str:
    conditions = [one.message for one in pod.status.conditions or () if one.status != "True" and one.message]
    states = [one.state.waiting for one in pod.status.container_statuses or () if one.state.waiting]
    return "; ".join([*conditions, *(f"{state.reason} {state.message or ''}" for state in states)])


def _merge(below: Values, above: Values) -> dict[str, Any]:
    both = {
        name: _merge(below[name], above[name]) for name in below.keys() & above.keys() if _are_maps(below, above, name)
    }
    return {**below, **above, **both}


def _are_maps(below: Values, above: Values, name: str) -> bool:
    return isinstance(below[name], Mapping) and isinstance(above[name], Mapping)


def _remove(admin: Admin, namespace: str) -> None:
    """All that was made, as far as it was, and at once. Not by helm: that is a test of its own."""
    both = (namespace, f"{namespace}-steps")
    rights = (admin.rbac.delete_cluster_role_binding, admin.rbac.delete_cluster_role)
    # In a namespace that is about to go nobody makes a pod in place of one that is deleted.
    removals = [(admin.core.delete_namespace, one) for one in both]
    removals += [(delete, f"{NAME}-node-reader-{namespace}") for delete in rights]
    for delete, name in removals:
        with suppress(ApiException):
            delete(name)
    for one in both:
        with suppress(ApiException):
            admin.core.delete_collection_namespaced_pod(one, grace_period_seconds=0)
