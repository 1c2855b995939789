"""The cluster as its administrator has it: namespaces for tests, what a person does with kubectl, and one pod that sees
every process of the node."""

import base64
import json
import os
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from urllib3.exceptions import HTTPError

from tests.servers import wait_until as wait_for

wait_until = partial(wait_for, timeout=90)

ROLE = Path(__file__).parents[2] / "deploy/kubernetes/controller-role.yaml"
SHELL_IMAGE = os.environ.get("CLUSTER_TEST_SHELL_IMAGE", "docker.io/library/busybox:1.35")
RUNNER_IMAGE = os.environ.get("CLUSTER_TEST_RUNNER_IMAGE", "docker.io/cohort/runner:dev")
Json = dict[str, Any]


class Admin:
    """Everything here is asked of the cluster at once, and as cluster-admin."""

    def __init__(self) -> None:
        self.settings = client.Configuration()
        config.load_kube_config(client_configuration=self.settings)
        self.api = client.ApiClient(self.settings)
        self.core, self.batch = client.CoreV1Api(self.api), client.BatchV1Api(self.api)
        self.rbac, self.custom = client.RbacAuthorizationV1Api(self.api), client.CustomObjectsApi(self.api)
        self._tools = ""

    def address(self) -> str:
        """This machine's address as pods reach it: where it would send a packet to a node from."""
        node = self.core.list_node().items[0]
        internal = next(one.address for one in node.status.addresses if one.type == "InternalIP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((internal, 9))
            return str(probe.getsockname()[0])

    def is_ready(self) -> bool:
        """Whether the API server answers, with all it needs for that."""
        try:
            self.core.list_node()
        except (ApiException, HTTPError):
            return False
        return True

    def make_namespace(self, policy: str = "restricted", further: Mapping[str, str] | None = None) -> str:
        """A namespace in which pods can be made, with `further` labels."""
        name = f"cohort-test-{uuid.uuid4().hex[:8]}"
        labels = {"pod-security.kubernetes.io/enforce": policy, "cohort.dev/test": "yes", **(further or {})}
        self.core.create_namespace({"metadata": {"name": name, "labels": labels}})
        wait_until(lambda: self.found(self.core.read_namespaced_service_account, "default", name))
        return name

    def end_namespace(self, name: str) -> None:
        """Have it go, and its pods at once."""
        self.core.delete_collection_namespaced_pod(name, grace_period_seconds=0)
        self.core.delete_namespace(name)

    def controller(self, namespace: str, directory: Path) -> Path:
        """A kubeconfig for the controller's own account, bound to the role that is deployed with it."""
        bodies = yaml.safe_load_all(ROLE.read_text())
        for body in bodies:
            match body["kind"]:
                case "ServiceAccount":
                    self.core.create_namespaced_service_account(namespace, body)
                case "Role":
                    self.rbac.create_namespaced_role(namespace, body)
                case "RoleBinding":
                    body["subjects"][0]["namespace"] = namespace
                    self.rbac.create_namespaced_role_binding(namespace, body)
        asked = {"spec": {"expirationSeconds": 7200, "audiences": []}}
        token = self.core.create_namespaced_service_account_token("cohort-controller", namespace, asked).status.token
        path = directory / f"{namespace}.kubeconfig"
        path.write_text(json.dumps(self._kubeconfig(token)))
        return path

    def pods(self, namespace: str, attempt: str = "") -> list[Any]:
        selector = f"cohort.dev/attempt={attempt}" if attempt else ""
        return list(self.core.list_namespaced_pod(namespace, label_selector=selector).items)

    def pod(self, namespace: str, attempt: str) -> Any:
        """The attempt's pod, once it is there."""
        return wait_until(lambda: (found := self.pods(namespace, attempt)) and found[0])

    def found(self, read: Callable[..., Any], *arguments: str) -> Any:
        """What `read` finds; None if it is not there."""
        try:
            return read(*arguments)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    def on_node(self, script: str) -> str:
        """What a shell prints that is root on the node and sees all its processes."""
        if not self._tools:
            self._tools = self._make_tools()
        command = ["sh", "-c", script]
        # A client of its own: `stream` changes how the one it is given makes requests.
        with client.ApiClient(self.settings) as api:
            connect = client.CoreV1Api(api).connect_get_namespaced_pod_exec
            socket = stream(
                connect, "tools", self._tools, command=command, stdout=True, stderr=True, _preload_content=False
            )
            try:
                socket.run_forever(timeout=60)
                return str(socket.read_all())
            finally:
                socket.close()
                # Where the other end was quicker, closing it closes nothing.
                socket.sock.shutdown()

    def processes(self, pod_uid: str, what: str) -> list[int]:
        """Processes of a pod, as the node numbers them, whose command line or environment has `what` in it."""
        uids = f"{pod_uid}|{pod_uid.replace('-', '_')}"
        said = f"cat $p/cmdline $p/environ 2>/dev/null | tr '\\0' '\\n' | grep -qF -- '{what}'"
        ours = f"grep -qE '{uids}' $p/cgroup 2>/dev/null"
        script = f"for p in /proc/[0-9]*; do {ours} && {said} && echo ${{p#/proc/}}; done; true"
        return [int(word) for word in self.on_node(script).split() if word.isdigit()]

    def kill(self, pids: Sequence[int], signal: str = "KILL") -> None:
        self.on_node(f"kill -{signal} {' '.join(map(str, pids))}")

    def close(self) -> None:
        if self._tools:
            self.end_namespace(self._tools)
        self.api.rest_client.close()

    def _make_tools(self) -> str:
        namespace = self.make_namespace("privileged")
        container = {
            "name": "tools",
            "image": SHELL_IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "86400"],
            "securityContext": {"privileged": True, "runAsUser": 0},
        }
        spec = {"hostPID": True, "terminationGracePeriodSeconds": 0, "containers": [container]}
        self.core.create_namespaced_pod(namespace, {"metadata": {"name": "tools"}, "spec": spec})
        wait_until(lambda: self.core.read_namespaced_pod("tools", namespace).status.phase == "Running")
        return namespace

    def _kubeconfig(self, token: str) -> Json:
        data = base64.b64encode(Path(self.settings.ssl_ca_cert).read_bytes()).decode()
        cluster = {"server": self.settings.host, "certificate-authority-data": data}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "controller", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "controller"}}],
            "current-context": "test",
        }
