"""Installing Cohort on the cluster that KUBECONFIG names, and taking it away again.

The cluster's nodes must reach this machine, and this machine a node. One node is assumed: the artifacts lie on it.
"""

import secrets
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.utils import create_from_dict

from deploy.trial import manifests
from deploy.trial.manifests import Images, Manifest, Place
from deploy.trial.servers import RedisAddress, redis_server, scripted_model
from services.core.apikeys import ApiKeys, Scope
from services.core.redis import connect

_SECONDS = 180.0
_PAUSE_SECONDS = 0.1
_LOG_LINES = 60


@dataclass(frozen=True)
class Installed:
    """A Cohort that is up. `url` is its API as this machine reaches it."""

    cluster: client.ApiClient
    place: Place
    url: str
    redis: RedisAddress
    runner_secret: str = field(repr=False)

    def key(self, tenant: str) -> str:
        """A new API key of a tenant, with every right."""
        with connect(self.redis.url(0)) as redis:
            return ApiKeys(redis).create(tenant, [Scope.ADMIN], "trial")[1]

    def pod(self, service: str) -> Any:
        """The service's pod, None while there is none that runs."""
        pods = client.CoreV1Api(self.cluster).list_namespaced_pod(self.place.name, label_selector=f"app={service}")
        running = [pod for pod in pods.items if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp]
        return running[0] if running else None

    def account(self) -> str:
        """What its services logged last."""
        core, told = client.CoreV1Api(self.cluster), []
        for pod in core.list_namespaced_pod(self.place.name).items:
            name = pod.metadata.name
            with suppress(ApiException):
                text = core.read_namespaced_pod_log(name, self.place.name, tail_lines=_LOG_LINES)
                told.append(f"--- {name}\n{text}")
        return "\n".join(told)


@contextmanager
def installed(
    directory: Path, playbooks: Path, images: Images, settings: Mapping[str, str] | None = None
) -> Iterator[Installed]:
    """Everything, until the end of the context. `settings` are for each of the services."""
    with ExitStack() as stack:
        api = _connected()
        # Its own end leaves its connections open.
        stack.callback(api.rest_client.close)
        here = address_of(api)
        redis = stack.enter_context(redis_server(directory, here))
        model = stack.enter_context(scripted_model(here, playbooks))
        place, runner_secret = Place(f"cohort-{uuid.uuid4().hex[:8]}"), secrets.token_hex(16)
        stack.callback(_remove, api, place)
        _make(api, *manifests.namespaces(place), *manifests.roles(place))
        _make(api, manifests.directory_keeper(place, images.shell), *manifests.disk(place))
        of_redis = {"COHORT_REDIS_URL": redis.url(0), "COHORT_BROKER_URL": redis.url(1)}
        _make(
            api,
            manifests.secret(place, "redis", of_redis),
            manifests.secret(place, "runner", {"COHORT_RUNNER_SECRET": runner_secret}),
            manifests.secret(place, "model", {"COHORT_MODEL_API_KEY": "none-needed"}),
        )
        _await("the artifacts' directory", lambda: _is_ready(api, place.disk, 1))
        theirs = {"api": ("redis", "runner"), "worker": ("redis", "model"), "controller": ("redis", "runner")}
        shared = {"COHORT_MODEL_BASE_URL": model, **(settings or {})}
        _make(api, manifests.front(place), *manifests.services(place, images, shared, theirs))
        url = f"http://{node_address(api)}:{_port(api, place)}"
        _await("all pods", lambda: _is_ready(api, place.name, 3))
        _await("the API", lambda: _answers(url))
        yield Installed(api, place, url, redis, runner_secret)


def node_address(api: client.ApiClient) -> str:
    """The address of the cluster's first node."""
    node = client.CoreV1Api(api).list_node().items[0]
    return str(next(one.address for one in node.status.addresses if one.type == "InternalIP"))


def address_of(api: client.ApiClient) -> str:
    """This machine's address as pods reach it: where it would send a packet to a node from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node_address(api), 9))
        return str(probe.getsockname()[0])


def _connected() -> client.ApiClient:
    settings = client.Configuration()
    config.load_kube_config(client_configuration=settings)
    return client.ApiClient(settings)


def _make(api: client.ApiClient, *bodies: Manifest) -> None:
    for body in bodies:
        create_from_dict(api, body)


def _remove(api: client.ApiClient, place: Place) -> None:
    """All that was made, as far as it was."""
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    for namespace in (place.steps, place.name):
        with suppress(ApiException):
            core.delete_collection_namespaced_pod(namespace, grace_period_seconds=0)
    cluster_wide = [
        (core.delete_namespace, place.steps),
        (core.delete_namespace, place.name),
        (core.delete_namespace, place.disk),
        (core.delete_persistent_volume, place.name),
        *(
            (getattr(rbac, f"delete_{kind}"), f"cohort-node-reader-{place.name}")
            for kind in ("cluster_role_binding", "cluster_role")
        ),
    ]
    for delete, name in cluster_wide:
        with suppress(ApiException):
            delete(name)


def _is_ready(api: client.ApiClient, namespace: str, count: int) -> bool:
    pods = client.CoreV1Api(api).list_namespaced_pod(namespace).items
    ready = [one for pod in pods for one in pod.status.conditions or () if (one.type, one.status) == ("Ready", "True")]
    return len(ready) == count


def _port(api: client.ApiClient, place: Place) -> int:
    service: Any = client.CoreV1Api(api).read_namespaced_service("api", place.name)
    return int(service.spec.ports[0].node_port)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False


def _await(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not ready within {_SECONDS:g} s")
        time.sleep(_PAUSE_SECONDS)
