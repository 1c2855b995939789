"""What an attempt needs, as it is on record. What people and the agent may ask for is checked where they ask."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Resources(BaseModel):
    """What one attempt needs. GPUs, CPU cores and memory are of one node; `nodes` of them run at once.

    Memory is in bytes: `gpu_memory` that each GPU must have, `memory` the limit, `shm` the size of /dev/shm. None is
    what the executor gives anyway. `pools` are the ones to try, in this order; empty is the cheapest that fits.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    gpus: int = 0
    gpu_memory: int | None = None
    cpu: float | None = None
    memory: int | None = None
    nodes: int = 1
    pools: tuple[str, ...] = ()
    image: str = ""
    shm: int | None = None

    @property
    def processes_per_node(self) -> int:
        """How many processes a launcher starts on each node: one for each GPU."""
        return max(self.gpus, 1)

    @property
    def total_gpus(self) -> int:
        return self.gpus * self.nodes

    @property
    def units(self) -> int:
        """How many times a pool's price the attempt costs."""
        return max(self.gpus, 1) * self.nodes


def with_resources(values: Any) -> Any:
    """The fields of an attempt as they are today: `memory_bytes`, of before there were pools, is `resources.memory`."""
    if not isinstance(values, dict) or "memory_bytes" not in values or "resources" in values:
        return values
    rest = {name: value for name, value in values.items() if name != "memory_bytes"}
    return {**rest, "resources": Resources(memory=values["memory_bytes"])}
