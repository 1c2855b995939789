"""Kueue as its administrator has it: a queue with room for so many pods, and somebody else's Jobs in it."""

from collections.abc import Callable
from typing import Any

from kubernetes.client.exceptions import ApiException

from tests.cluster.admin import SHELL_IMAGE, Admin, wait_until

GROUP, VERSION = "kueue.x-k8s.io", "v1beta2"
LOOKED_AFTER = {"cohort.dev/kueue": "yes"}
"""The label of namespaces that Kueue looks after (see `.ci/kueue`); one that looks after all takes it as well."""

Json = dict[str, Any]
_PLENTY = {"cpu": "1000", "memory": "1000Gi", "ephemeral-storage": "1000Gi"}


def is_installed(admin: Admin) -> bool:
    """Whether the cluster knows Kueue's objects."""
    try:
        admin.custom.list_cluster_custom_object(GROUP, VERSION, "clusterqueues")
    except ApiException as error:
        if error.status != 404:
            raise
        return False
    return True


class Queue:
    """A ClusterQueue of its own and the LocalQueue `team` before it, in one namespace."""

    name = "team"

    def __init__(self, admin: Admin, namespace: str, pods: int) -> None:
        self._admin = admin
        self._namespace = namespace
        self._make("resourceflavors", {"kind": "ResourceFlavor"})
        self._make("workloadpriorityclasses", {"kind": "WorkloadPriorityClass", "value": 1000})
        quotas = [{"name": name, "nominalQuota": most} for name, most in {**_PLENTY, "pods": str(pods)}.items()]
        group = {
            "coveredResources": [quota["name"] for quota in quotas],
            "flavors": [{"name": namespace, "resources": quotas}],
        }
        spec = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "preemption": {"withinClusterQueue": "LowerPriority"},
            "resourceGroups": [group],
        }
        self._make("clusterqueues", {"kind": "ClusterQueue", "spec": spec})

    def open(self) -> None:
        """Make the LocalQueue."""
        spec = {"clusterQueue": self._namespace}
        body = self._body(self.name, {"kind": "LocalQueue", "spec": spec})
        self._admin.custom.create_namespaced_custom_object(GROUP, VERSION, self._namespace, "localqueues", body)

    def stop(self, policy: str) -> None:
        """`None`, `Hold` (admit nothing) or `HoldAndDrain` (take back what is admitted, too)."""
        body = {"spec": {"stopPolicy": policy}}
        self._admin.custom.patch_cluster_custom_object(GROUP, VERSION, "clusterqueues", self._namespace, body)

    def workloads(self) -> dict[str, Json]:
        """What Kueue keeps, by the name of the Job."""
        found = self._admin.custom.list_namespaced_custom_object(GROUP, VERSION, self._namespace, "workloads")
        return {one["metadata"]["ownerReferences"][0]["name"]: one for one in found["items"]}

    def is_finished(self, job: str) -> bool:
        """Whether Kueue has done with it, and counts its quota as free."""
        conditions = self.workloads()[job].get("status", {}).get("conditions", [])
        return any(one["type"] == "Finished" and one["status"] == "True" for one in conditions)

    def in_use(self) -> int:
        """How many Jobs hold quota."""
        read = self._admin.custom.get_cluster_custom_object
        found = read(GROUP, VERSION, "clusterqueues", self._namespace)
        return int(found.get("status", {}).get("reservingWorkloads", 0))

    def intrude(self, pods: int = 1) -> Callable[[], None]:
        """Have a Job of higher priority take the room of `pods` pods. Returns what takes it away again."""
        self._admin.batch.create_namespaced_job(self._namespace, self._intruder(pods))
        wait_until(lambda: not self._admin.batch.read_namespaced_job("intruder", self._namespace).spec.suspend)
        delete = self._admin.batch.delete_namespaced_job
        return lambda: delete("intruder", self._namespace, propagation_policy="Background")

    def close(self) -> None:
        """Take away what belongs to no namespace. Kueue holds it until its Jobs are gone."""
        for plural in ("clusterqueues", "resourceflavors", "workloadpriorityclasses"):
            self._admin.custom.delete_cluster_custom_object(GROUP, VERSION, plural, self._namespace)

    def _make(self, plural: str, body: Json) -> None:
        self._admin.custom.create_cluster_custom_object(GROUP, VERSION, plural, self._body(self._namespace, body))

    def _body(self, name: str, body: Json) -> Json:
        return {"apiVersion": f"{GROUP}/{VERSION}", "metadata": {"name": name}, **body}

    def _intruder(self, pods: int) -> Json:
        confined = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": 10001}
        confined |= {"capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
        container = {"name": "main", "image": SHELL_IMAGE, "command": ["sleep", "600"], "securityContext": confined}
        pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
        labels = {f"{GROUP}/queue-name": self.name, f"{GROUP}/priority-class": self._namespace}
        spec = {"suspend": True, "parallelism": pods, "completions": pods, "template": {"spec": pod}}
        return {"metadata": {"name": "intruder", "labels": labels}, "spec": spec}
