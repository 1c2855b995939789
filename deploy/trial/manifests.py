"""What a trial consists of in the cluster. Pure: names in, objects out.

Its pods meet the `restricted` pod security standard, like those of the steps. What is secret is in Secrets alone, in
the install's own namespace, where no step runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

USER = 10001
API_PORT = 8470
STATE = "/var/lib/cohort"
_DEPLOYED = Path(__file__).parents[1] / "kubernetes"
_ROLES = ("controller-role.yaml", "node-reader.yaml")
_SERVICE_ACCOUNT = "cohort-controller"
_NAME, _DISK = "app", "artifacts"


@dataclass(frozen=True)
class Images:
    """The project's own images. `shell` is any with a shell."""

    api: str
    worker: str
    runner: str
    trainer: str
    shell: str

    @classmethod
    def tagged(cls, tag: str, shell: str) -> "Images":
        """Those that were built under one tag."""
        return cls(*(f"docker.io/cohort/{name}:{tag}" for name in ("api", "worker", "runner", "trainer")), shell=shell)


@dataclass(frozen=True)
class Place:
    """Where a trial is. Everything of it is called after `name`."""

    name: str

    @property
    def steps(self) -> str:
        """The steps' namespace."""
        return f"{self.name}-steps"

    @property
    def disk(self) -> str:
        """The namespace of the pod that keeps the directory of the artifacts."""
        return f"{self.name}-disk"

    @property
    def directory(self) -> str:
        """The artifacts on the node. A trial is for one node: all its pods must see this directory."""
        return f"/var/tmp/{self.name}"  # noqa: S108, on the node, and named as nothing else is

    @property
    def api_url(self) -> str:
        """The API as pods reach it."""
        return f"http://api.{self.name}.svc:{API_PORT}"


def namespaces(place: Place) -> list[Manifest]:
    """Three of them, and only in the last one may a pod be root."""
    policies = {place.name: "restricted", place.steps: "restricted", place.disk: "privileged"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": policy}},
        }
        for name, policy in policies.items()
    ]


def directory_keeper(place: Place, image: str) -> Manifest:
    """The directory of the artifacts is there, and the services' own, for as long as this pod lives."""
    keep = (
        f"mkdir {place.directory} && chown {USER}:{USER} {place.directory} && "
        f"trap 'rm -rf {place.directory}; exit' TERM && while :; do sleep 1; done"
    )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "keeper", "namespace": place.disk},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "keeper",
                    "image": image,
                    "command": ["sh", "-c", keep],
                    "securityContext": {"runAsUser": 0},
                    "readinessProbe": {"exec": {"command": ["test", "-d", place.directory]}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "node", "mountPath": str(Path(place.directory).parent)}],
                }
            ],
            "volumes": [{"name": "node", "hostPath": {"path": str(Path(place.directory).parent)}}],
        },
    }


def disk(place: Place) -> list[Manifest]:
    """The volume that the services share, and their claim to it."""
    modes, size = ["ReadWriteMany"], "10Gi"
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": place.name},
            "spec": {
                "accessModes": modes,
                "capacity": {"storage": size},
                "claimRef": {"namespace": place.name, "name": _DISK},
                "hostPath": {"path": place.directory, "type": "Directory"},
                "storageClassName": "",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": _DISK, "namespace": place.name},
            "spec": {
                "accessModes": modes,
                "resources": {"requests": {"storage": size}},
                "storageClassName": "",
                "volumeName": place.name,
            },
        },
    ]


def secret(place: Place, name: str, values: Mapping[str, str]) -> Manifest:
    """Variables that a service gets and nobody reads in its pod."""
    metadata = {"name": name, "namespace": place.name}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)}


def roles(place: Place) -> list[Manifest]:
    """What the controller may do, as it is deployed: in the steps' namespace, with its account in the install's own."""
    texts = ((_DEPLOYED / name).read_text() for name in _ROLES)
    return [_placed(body, place) for text in texts for body in yaml.safe_load_all(text)]


def services(
    place: Place, images: Images, settings: Mapping[str, str], secrets: Mapping[str, Sequence[str]]
) -> list[Manifest]:
    """The API, a worker and the controller. `settings` are for all of them, `secrets` the names of each one's own."""
    shared = {"COHORT_EXECUTOR": "kubernetes", **settings}
    steps = {
        "COHORT_API_URL": place.api_url,
        "COHORT_KUBERNETES_NAMESPACE": place.steps,
        "COHORT_RUNNER_IMAGE": images.runner,
        "COHORT_STEP_IMAGE": images.trainer,
        "COHORT_STEP_DISK_BYTES": str(2 << 30),
    }
    api = _deployment(place, "api", images.api, shared, secrets["api"])
    _container(api)["readinessProbe"] = {"httpGet": {"path": "/readyz", "port": API_PORT}, "periodSeconds": 1}
    worker = _deployment(place, "worker", images.worker, shared, secrets["worker"])
    controller = _deployment(place, "controller", images.worker, {**shared, **steps}, secrets["controller"])
    _container(controller)["command"] = ["python", "-P", "-m", "services.worker.controller"]
    account = {"serviceAccountName": _SERVICE_ACCOUNT, "automountServiceAccountToken": True}
    controller["spec"]["template"]["spec"].update(account)
    return [api, worker, controller]


def front(place: Place) -> Manifest:
    """The Service in front of the API: by its name for pods, on a port of the node for who is outside."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "api", "namespace": place.name},
        "spec": {"type": "NodePort", "selector": {_NAME: "api"}, "ports": [{"port": API_PORT}]},
    }


def _placed(body: Manifest, place: Place) -> Manifest:
    metadata, kind = dict(body["metadata"]), body["kind"]
    if kind in {"ClusterRole", "ClusterRoleBinding"}:
        metadata["name"] = f"{metadata['name']}-{place.name}"
    else:
        metadata["namespace"] = place.name if kind == "ServiceAccount" else place.steps
    placed = {**body, "metadata": metadata}
    if "subjects" in body:
        placed["subjects"] = [{**subject, "namespace": place.name} for subject in body["subjects"]]
    if kind == "ClusterRoleBinding":
        placed["roleRef"] = {**body["roleRef"], "name": metadata["name"]}
    return placed


def _deployment(place: Place, name: str, image: str, settings: Mapping[str, str], secrets: Sequence[str]) -> Manifest:
    labels = {_NAME: name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": place.name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": labels}, "spec": _pod(name, image, settings, secrets)},
        },
    }


def _pod(name: str, image: str, settings: Mapping[str, str], secrets: Sequence[str]) -> Manifest:
    return {
        "automountServiceAccountToken": False,
        # The variables that the cluster makes of a Service named `api` would be settings of ours.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": name,
                "image": image,
                "env": [{"name": variable, "value": value} for variable, value in settings.items()],
                "envFrom": [{"secretRef": {"name": secret}} for secret in secrets],
                "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [{"name": "state", "mountPath": STATE}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
            }
        ],
        "volumes": [
            {"name": "state", "persistentVolumeClaim": {"claimName": _DISK}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def _container(deployment: Manifest) -> Manifest:
    container: Manifest = deployment["spec"]["template"]["spec"]["containers"][0]
    return container
