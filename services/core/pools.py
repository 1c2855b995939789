"""The pools that steps run on, as the operator writes them down: groups of like nodes with a price.

This is data and its rules. Which pool a step gets is decided in `placement`, what a pool has free at the moment is
published by the controller (`pool_states`).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from services.core.errors import BadRequest
from services.core.images import ImagePolicy
from services.core.operators_file import Entry, load, read
from services.core.quantities import Bytes, Cores
from services.core.records import MICRODOLLARS, Attempt
from services.core.resources import Resources
from services.core.settings import SharedSettings
from services.core.step_secrets import StepSecret

LOCAL = "local"
POOL_NAME = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$"
_QUALIFIED = r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"


class Toleration(Entry):
    """A taint that the pool's pods put up with; the fields are those of Kubernetes."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = Field(None, alias="tolerationSeconds")

    @model_validator(mode="after")
    def _check(self) -> "Toleration":
        if self.operator == "Exists" and self.value:
            raise ValueError("a toleration with the operator Exists has no value")
        if not self.key and self.operator != "Exists":
            raise ValueError("a toleration without a key needs the operator Exists")
        if (self.key and not _fits(_QUALIFIED, self.key)) or not _fits(_LABEL_VALUE, self.value):
            raise ValueError(f"{self.key}={self.value} is no taint that a node can have")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds needs the effect NoExecute")
        return self


class Pool(Entry):
    """A group of like nodes. Amounts are of one GPU, one node, or the largest pod, as each says."""

    name: str = Field(pattern=POOL_NAME, description="A DNS label of at most 32 characters.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that the pool's nodes have.")
    tolerations: tuple[Toleration, ...] = Field((), description="Taints that its pods put up with.")
    gpu_resource: str = Field("nvidia.com/gpu", pattern=_QUALIFIED, description="The GPUs' name in Kubernetes.")
    gpu_product: str = Field("", max_length=100, description="What the GPUs are, for people and the agent.")
    gpu_memory: Bytes | None = Field(None, description="Memory of one GPU.")
    gpus_per_node: int = Field(0, ge=0, le=1024, description="0 for a pool without GPUs.")
    nodes: int = Field(1, ge=1, le=100_000, description="How many nodes it can grow to.")
    max_cpu: Cores | None = Field(None, description="Most CPU cores a pod may ask for; not said: no bound.")
    max_memory: Bytes | None = Field(None, description="Most memory a pod may ask for; not said: no bound.")
    price_per_hour: float = Field(
        0.0, ge=0, le=100_000, allow_inf_nan=False, description="Dollars, of one GPU, or of one pod without GPUs."
    )
    spot: bool = Field(False, description="Its nodes may be taken away at any time.")
    queue: str = Field("", max_length=63, description="Kueue's LocalQueue, if pods are admitted by one.")
    images: tuple[str, ...] = Field((), description="Allowed image patterns; none: the install's.")

    @field_validator("node_selector")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for name, value in labels.items():
            if not _fits(_QUALIFIED, name) or not _fits(_LABEL_VALUE, value):
                raise ValueError(f"{name}={value} is no label that a node can have")
        return labels

    @field_validator("queue")
    @classmethod
    def _check_queue(cls, queue: str) -> str:
        if queue and not _fits(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", queue):
            raise ValueError(f"{queue!r} is no name of a queue: use lower-case letters, digits and '-'")
        return queue

    @model_validator(mode="after")
    def _check_gpus(self) -> "Pool":
        if not self.gpus_per_node and (self.gpu_memory or self.gpu_product):
            raise ValueError("gpu_memory and gpu_product need gpus_per_node: say how many GPUs a node has")
        return self


class GpuQuota(Entry):
    """How many GPUs a tenant may hold at one moment, over all its runs."""

    gpus: int | None = Field(None, ge=0, description="For every tenant that is not named; not said: no bound.")
    tenants: dict[str, int] = Field(default_factory=dict, description="For tenants by name.")

    @field_validator("tenants")
    @classmethod
    def _check_tenants(cls, tenants: dict[str, int]) -> dict[str, int]:
        for name, gpus in tenants.items():
            if gpus < 0:
                raise ValueError(f"{name}: a tenant cannot hold {gpus} GPUs")
        return tenants

    def of(self, tenant: str) -> int | None:
        """The tenant's bound; None where there is none."""
        return self.tenants.get(tenant, self.gpus)


class Pools(Entry):
    """All pools of an install, and what holds over all of them. `runs_images`: steps run in images here."""

    pools: tuple[Pool, ...] = Field(min_length=1, max_length=200)
    images: ImagePolicy = ImagePolicy()
    quota: GpuQuota = GpuQuota()
    secrets: tuple[StepSecret, ...] = Field((), max_length=200, description="What steps may ask for by name.")
    runs_images: bool = Field(True, exclude=True)

    @field_validator("pools", "secrets")
    @classmethod
    def _check_names(cls, entries: tuple[Pool | StepSecret, ...]) -> tuple[Pool | StepSecret, ...]:
        names = [entry.name for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two of them are named {name}; a name is of one alone")
        return entries

    @classmethod
    def load(cls, path: Path) -> "Pools":
        """The pools in a file. Raises `BadRequest` that names the file, the field and what is wrong with it."""
        return load(path, cls.read, "pools_file")

    @classmethod
    def read(cls, value: object) -> "Pools":
        """The pools in a parsed file. Raises `BadRequest`."""
        if not isinstance(value, dict) or "runs_images" in value:
            raise BadRequest("a pools file is a mapping with the key pools", field="pools")
        return read(value, cls, _KINDS)

    @classmethod
    def local(cls, price_per_hour: float = 0.0) -> "Pools":
        """What there is without a pools file: one pool without GPUs."""
        return cls(pools=(Pool(name=LOCAL, price_per_hour=price_per_hour),))

    @classmethod
    def of(cls, settings: SharedSettings) -> "Pools":
        """The pools of an install. Raises `BadRequest`."""
        pools = (
            cls.local(settings.local_price_per_hour) if settings.pools_file is None else cls.load(settings.pools_file)
        )
        return pools.model_copy(update={"runs_images": settings.executor == "kubernetes"})

    def named(self, name: str) -> Pool | None:
        """The pool of that name, if there is one (any more)."""
        return next((pool for pool in self.pools if pool.name == name), None)

    def secrets_of(self, names: Sequence[str]) -> list[StepSecret] | None:
        """The secrets of these names; None if not all of them are there (any more)."""
        known = {secret.name: secret for secret in self.secrets}
        return [known[name] for name in names] if known.keys() >= set(names) else None

    def price_of(self, attempt: Attempt) -> float:
        """Dollars an hour of the attempt. One of before there were pools costs what the first pool does."""
        price = attempt.price_per_hour if attempt.pool else self.pools[0].price_per_hour
        return price * attempt.resources.units


def microdollars(price_per_hour: float, resources: Resources, seconds: float) -> int:
    """What so many seconds on a pool with this price cost."""
    return round(price_per_hour * resources.units * seconds / 3600 * MICRODOLLARS)


_KINDS: tuple[type[BaseModel], ...] = (Pool, Toleration, GpuQuota, ImagePolicy, StepSecret, Pools)


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None
