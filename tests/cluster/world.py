"""A namespace, an executor in it and a server of the runner's protocol: what the executors' contract calls a world."""

import hashlib
import itertools
import random
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from services.core.manifest import LaidFile, Root
from services.core.pools import Pools
from services.core.records import FileRef
from services.core.resources import Resources
from services.core.workspace import EMPTY
from services.worker.executors import AttemptSpec
from services.worker.executors.kubernetes.client import connect
from services.worker.executors.kubernetes.executor import KubernetesExecutor
from services.worker.executors.kubernetes.manifest import PodTerms
from services.worker.executors.kubernetes.metrics import Metrics
from services.worker.executors.kubernetes.valves import Limits
from tests.cluster.admin import RUNNER_IMAGE, SHELL_IMAGE, Admin, wait_until
from tests.runner.ingest import TOKEN, Ingest, Kept

SMALL = Resources(cpu=0.02, memory=96 << 20)


class KubernetesWorld:
    """One test's."""

    revives_sidecars = True

    def __init__(
        self,
        admin: Admin,
        ingest: Ingest,
        directory: Path,
        pools: Pools | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.admin = admin
        self.ingest = ingest
        self.pools = pools or Pools.local()
        self.namespace = admin.make_namespace(further=labels)
        self.kubeconfig = admin.controller(self.namespace, directory)
        self.run = "r" + "".join(random.choices(string.ascii_lowercase, k=12))
        self.metrics = Metrics()
        self._numbers = itertools.count(1)
        self._executors: list[KubernetesExecutor] = []
        self._snapshots: dict[str, dict[str, bytes]] = {EMPTY: {}}
        self._outputs: dict[str, bytes] = {}
        self.executor = self.another_executor(self.metrics)

    def another_executor(
        self,
        metrics: Metrics | None = None,
        limits: Limits | None = None,
        pools: Pools | None = None,
        **terms: Any,
    ) -> KubernetesExecutor:
        metrics = metrics or Metrics()
        executor = KubernetesExecutor(
            connect(self.kubeconfig, self.namespace, metrics.requests),
            pools or self.pools,
            PodTerms(**{"runner_image": RUNNER_IMAGE, "image": SHELL_IMAGE, "disk_bytes": 2 << 30, **terms}),
            limits or Limits(),
            metrics,
        )
        executor.start()
        self._executors.append(executor)
        return executor

    def spec(self, script: str, **changes: Any) -> AttemptSpec:
        number = next(self._numbers)
        spec = AttemptSpec(
            attempt=f"{self.run}-train-{number}",
            run=self.run,
            step="train",
            number=number,
            tenant="acme",
            command=("sh", "-c", script),
            snapshot=EMPTY,
            deadline_seconds=300,
            grace_seconds=5,
            api_url=self.ingest.url,
            token=SecretStr(TOKEN),
            resources=SMALL,
            pool="local",
        )
        spec = replace(spec, **changes)
        self._serve(spec)
        return spec

    def snapshot(self, files: dict[str, bytes]) -> str:
        name = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        self._snapshots[name] = files
        return name

    def output(self, path: str, data: bytes) -> FileRef:
        sha256 = hashlib.sha256(data).hexdigest()
        self._outputs[sha256] = data
        return FileRef(path=path, sha256=sha256, size=len(data))

    def kept(self, attempt: str) -> Kept:
        return self.ingest.attempts[attempt]

    def pod(self, attempt: str) -> Any:
        return self.admin.pod(self.namespace, attempt)

    def kill_sidecar(self, attempt: str) -> None:
        uid = self.pod(attempt).metadata.uid
        before = self.admin.processes(uid, "services.runner")
        self.admin.kill(before)
        wait_until(lambda: not set(before) & set(self.admin.processes(uid, "services.runner")))

    def kill_shim(self, attempt: str) -> None:
        uid = self.pod(attempt).metadata.uid
        before = self.admin.processes(uid, "/cohort/rt/shim.py")
        self.admin.kill(before)
        wait_until(lambda: not set(before) & set(self.admin.processes(uid, "/cohort/rt/shim.py")))

    def survivors(self, attempt: str) -> Sequence[int]:
        pods = self.admin.pods(self.namespace, attempt)
        return [pid for pod in pods for pid in self.admin.processes(pod.metadata.uid, "COHORT_STEP=")]

    def end(self) -> None:
        for executor in self._executors:
            executor.stop()
        self.admin.end_namespace(self.namespace)

    def _serve(self, spec: AttemptSpec) -> None:
        """Have the server hand out the attempt's files."""
        kept = self.kept(spec.attempt)
        placed = [(Root.WORK, path, data) for path, data in self._snapshots[spec.snapshot].items()]
        if spec.restores:
            placed += [(Root.CHECKPOINT, path, data) for path, data in self._snapshots[spec.restores].items()]
        for step, files in spec.inputs.items():
            placed += [(Root.IN, f"{step}/{file.path}", self._outputs[file.sha256]) for file in files]
        for root, path, data in placed:
            sha256 = hashlib.sha256(data).hexdigest()
            file = LaidFile(root=root, path=path, sha256=sha256, size=len(data), mode=0o644)
            kept.files.append(file.model_dump(mode="json"))
            kept.blobs[sha256] = data
