"""Volumes of an installation, on a node of a cluster that makes none by itself: directories, kept by a pod.

One node is assumed: all pods of the installation must see the same directory.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from kubernetes.client.exceptions import ApiException

from tests.cluster.admin import SHELL_IMAGE, Admin, Json, wait_until

_USER = 10001
_ROOT = Path("/var/tmp")
_SIZE = "10Gi"
_MODES = ["ReadWriteMany", "ReadWriteOnce"]


@contextmanager
def disks(admin: Admin, namespace: str, claims: Mapping[str, str]) -> Iterator[None]:
    """A volume for each claim of the namespace, by the name of its directory. All are gone after the context's end,
    which has to be after that of the claims."""
    keeper, directory = f"{namespace}-disk", _ROOT / namespace
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    admin.core.create_namespace({"metadata": {"name": keeper, "labels": labels}})
    try:
        admin.core.create_namespaced_pod(keeper, _keeper(directory, sorted(claims)))
        for name, claim in claims.items():
            admin.core.create_persistent_volume(_volume(namespace, claim, directory / name))
        wait_until(lambda: _is_ready(admin, keeper), message="the directories of the volumes")
        yield
    finally:
        for claim in claims.values():
            with suppress(ApiException):
                admin.core.delete_persistent_volume(_name(namespace, claim))
        admin.core.delete_namespace(keeper)


def _name(namespace: str, claim: str) -> str:
    return f"{namespace}-{claim}"


def _volume(namespace: str, claim: str, directory: Path) -> Json:
    return {
        "metadata": {"name": _name(namespace, claim)},
        "spec": {
            "accessModes": _MODES,
            "capacity": {"storage": _SIZE},
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(directory), "type": "Directory"},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
        },
    }


def _keeper(directory: Path, names: list[str]) -> Json:
    """The directories are there, and the services' own (no kubelet changes the owner of such a volume), as long as this
    pod lives."""
    places = " ".join(str(directory / name) for name in names)
    keep = (
        f"mkdir -p {places} && chown {_USER}:{_USER} {places} && touch /tmp/ready && "
        f"trap 'rm -rf {directory}; exit' TERM && while :; do sleep 1; done"
    )
    return {
        "metadata": {"name": "keeper"},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "keeper",
                    "image": SHELL_IMAGE,
                    "command": ["sh", "-c", keep],
                    "securityContext": {"runAsUser": 0},
                    "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "node", "mountPath": str(_ROOT)}],
                }
            ],
            "volumes": [{"name": "node", "hostPath": {"path": str(_ROOT)}}],
        },
    }


def _is_ready(admin: Admin, namespace: str) -> bool:
    conditions = admin.core.read_namespaced_pod("keeper", namespace).status.conditions or ()
    return any((one.type, one.status) == ("Ready", "True") for one in conditions)
