"""What a pod asks of its node: by what the step needs, and by what holds for every pod of the install. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.core.pools import Pool
from services.worker.executors import AttemptSpec

_SMALLEST_SHM_BYTES = 64 << 20


@dataclass(frozen=True)
class PodTerms:
    """What holds for every pod of an install. `image` runs steps that name none.

    `disk_bytes` bounds all that an attempt keeps on its node: its log, its files, its outputs. `cpu` (cores) and
    `memory_bytes` are for steps that do not say what they need.
    """

    runner_image: str
    image: str
    disk_bytes: int = 50 << 30
    cpu: float = 1.0
    memory_bytes: int = 4 << 30
    pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What `main` asks for: cores, bytes, GPUs."""

    cpu: float
    has_cpu_limit: bool
    memory_bytes: int
    disk_bytes: int
    shm_bytes: int
    gpus: Mapping[str, str]

    @classmethod
    def of(cls, spec: AttemptSpec, pool: Pool, terms: PodTerms) -> "Needs":
        needs = spec.resources
        memory = needs.memory or spec.memory_bytes or terms.memory_bytes
        return cls(
            cpu=needs.cpu or terms.cpu,
            has_cpu_limit=needs.cpu is not None,
            memory_bytes=memory,
            disk_bytes=terms.disk_bytes,
            shm_bytes=needs.shm or max(_SMALLEST_SHM_BYTES, memory // 2),
            gpus={pool.gpu_resource: str(needs.gpus)} if needs.gpus else {},
        )

    def as_container(self) -> dict[str, Any]:
        """Memory is asked for whole, so that nobody is killed for what a neighbour takes; disk is only bounded."""
        cores = f"{math.ceil(self.cpu * 1000)}m"
        limits = {"memory": str(self.memory_bytes), "ephemeral-storage": str(self.disk_bytes), **self.gpus}
        return {
            "requests": {
                "cpu": cores,
                "memory": str(self.memory_bytes),
                "ephemeral-storage": str(min(self.disk_bytes, 1 << 30)),
                **self.gpus,
            },
            "limits": {**limits, **({"cpu": cores} if self.has_cpu_limit else {})},
        }
