"""What a goal says its steps need where they do not say it themselves, and the pools they may use."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from services.core.quantities import Bytes, Cores, in_bytes
from services.core.resources import Resources

_MOST = 100_000

PoolName = Annotated[str, StringConstraints(min_length=1, max_length=32)]


def _listed(pool: Any) -> Any:
    return (pool,) if isinstance(pool, str) else tuple(pool) if isinstance(pool, list) else pool


class Needs(BaseModel):
    """As it is on record. None and empty: nothing is said, and a step that says nothing gets what it would anyway."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    gpus: int | None = Field(None, ge=0, le=_MOST, description="GPUs of one node.")
    gpu_memory: Bytes | None = Field(None, description="Memory that each GPU must have, such as 40Gi.")
    cpu: Cores | None = Field(None, description="CPU cores of one node, such as 4 or 500m.")
    memory: Bytes | None = Field(None, description="Memory limit, such as 16Gi.")
    shm: Bytes | None = Field(None, description="Size of /dev/shm, such as 8Gi; it counts as memory.")
    nodes: int | None = Field(None, ge=1, le=_MOST, description="How many nodes run a step's program at once.")
    pool: Annotated[
        tuple[PoolName, ...],
        BeforeValidator(_listed),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "maxItems": 20, "items": {"type": "string"}}]}),
    ] = Field((), max_length=20, description="The pools to try, in this order, and the only ones a step may name.")
    image: str = Field("", max_length=500, description="Container image of the steps.")

    @property
    def resources(self) -> Resources:
        """What a step gets that says nothing itself; with one GPU where only the memory of GPUs is said."""
        gpus = (1 if self.gpu_memory else 0) if self.gpus is None else self.gpus
        return self.completed(Resources(gpus=gpus), frozenset({"gpus"}))

    def completed(self, said: Resources, fields: frozenset[str]) -> Resources:
        """What a step gets that says `said` in these fields: all else is the goal's, as far as it fits to that."""
        gpus = said.gpus if "gpus" in fields else self.gpus or 0
        memory = said.memory if "memory" in fields else self.memory
        shm = self.shm if memory is None or self.shm is None else min(self.shm, memory)
        return Resources(
            gpus=gpus,
            gpu_memory=said.gpu_memory if "gpu_memory" in fields else self.gpu_memory if gpus else None,
            cpu=said.cpu if "cpu" in fields else self.cpu,
            memory=memory,
            nodes=said.nodes if "nodes" in fields else self.nodes or 1,
            pools=said.pools or self.pool,
            image=said.image or self.image,
            shm=said.shm if "shm" in fields else shm,
        )

    @property
    def text(self) -> str:
        """What is said, for the agent: `gpus 1, gpu_memory 40Gi, pool a100 or h100`; '' where nothing is."""
        amounts = {
            "gpus": self.gpus,
            "gpu_memory": self.gpu_memory and in_bytes(self.gpu_memory),
            "cpu": self.cpu and f"{self.cpu:g}",
            "memory": self.memory and in_bytes(self.memory),
            "shm": self.shm and in_bytes(self.shm),
            "nodes": self.nodes,
            "pool": " or ".join(self.pool) or None,
            "image": self.image or None,
        }
        return ", ".join(f"{name} {amount}" for name, amount in amounts.items() if amount is not None)


class AskedNeeds(Needs):
    """As people ask for it: an unknown key is an error, and so is what contradicts itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _check(self) -> "AskedNeeds":
        if self.gpu_memory is not None and self.gpus == 0:
            raise ValueError("gpu_memory is the memory of a GPU, and gpus is 0")
        if self.memory is not None and self.shm is not None and self.shm > self.memory:
            raise ValueError("shm counts as memory, so it cannot be more than memory")
        return self
