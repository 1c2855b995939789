"""Which pool an attempt goes to, or why none can ever hold it. Pure.

It is decided from what the pools are, never from what is free at the moment: an attempt that fits waits for its turn.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from services.core.images import objection
from services.core.pools import Pool, Pools
from services.core.quantities import in_bytes
from services.core.resources import Resources


@dataclass(frozen=True)
class Placement:
    """The chosen pool."""

    pool: Pool

    @property
    def price_per_hour(self) -> float:
        return self.pool.price_per_hour


@dataclass(frozen=True)
class Lack:
    """One thing that a pool does not have: the field of the request, and what there is instead."""

    field: str
    text: str


@dataclass(frozen=True)
class Refusal:
    """No pool can ever hold the request. `nearest` is the pool that lacks least, empty where it is not about one."""

    nearest: str
    lacks: tuple[Lack, ...]

    @property
    def field(self) -> str:
        return self.lacks[0].field

    @property
    def text(self) -> str:
        """The refusal in words for whoever asked."""
        lacks = "; ".join(f"{lack.field}: {lack.text}" for lack in self.lacks)
        if not self.nearest:
            return lacks
        return f"no pool can ever hold this. The nearest is {self.nearest}, and it lacks this: {lacks}"


def place(pools: Pools, tenant: str, resources: Resources, excluded: Collection[str] = ()) -> Placement | Refusal:
    """The pool for a new attempt of a tenant, whose quota must be able to hold it."""
    choice = choose(pools, resources, excluded)
    quota, wanted = pools.quota.of(tenant), resources.total_gpus
    if isinstance(choice, Placement) and quota is not None and wanted > quota:
        return Refusal("", (Lack("gpus", f"the tenant may hold {quota} GPUs at once, and this needs {wanted}"),))
    return choice


def choose(pools: Pools, resources: Resources, excluded: Collection[str] = ()) -> Placement | Refusal:
    """The pool for an attempt: the first of `resources.pools` that fits, or else the cheapest that does.

    Pools in `excluded` are passed over. Of two that cost the same, the one that is not spot is taken, then the one with
    fewer GPUs to spare, then the first in the file.
    """
    strangers = [name for name in resources.pools if pools.named(name) is None]
    if strangers:
        known = ", ".join(pool.name for pool in pools.pools)
        return Refusal("", (Lack("pool", f"there is no pool {strangers[0]!r}; there are {known}"),))
    allowed = [pool for name in resources.pools if (pool := pools.named(name))] or sorted(pools.pools, key=_cost)
    found = {pool.name: tuple(_lacks(pools, pool, resources)) for pool in allowed}
    for pool in allowed:
        if not found[pool.name] and pool.name not in excluded:
            return Placement(pool)
    lacking = [pool for pool in allowed if found[pool.name]]
    if not lacking:
        return Refusal("", (Lack("pool", "every pool that can hold this has been tried"),))
    nearest = min(lacking, key=lambda pool: (len(found[pool.name]), _shortness(pool, resources)))
    return Refusal(nearest.name, found[nearest.name])


def _cost(pool: Pool) -> tuple[float, bool, int]:
    return pool.price_per_hour, pool.spot, pool.gpus_per_node


def _shortness(pool: Pool, wanted: Resources) -> tuple[float, ...]:
    """Orders pools that lack as many things: what a pool has most of what is wanted comes first."""
    gpus = pool.gpus_per_node if wanted.gpus else 0
    return -gpus, -(pool.gpu_memory or 0), -pool.nodes, -(pool.max_memory or 0), -(pool.max_cpu or 0)


def _lacks(pools: Pools, pool: Pool, wanted: Resources) -> Iterator[Lack]:
    """What the pool can never give, the graver first."""
    yield from _lacking_gpus(pool, wanted)
    if wanted.nodes > 1 and not pools.runs_images:
        yield Lack("nodes", "steps run as programs of this machine here, which is one node; leave it out")
    elif wanted.nodes > pool.nodes:
        yield Lack("nodes", f"it grows to {_count(pool.nodes, 'node')}, and this needs {wanted.nodes}")
    if wanted.cpu is not None and pool.max_cpu is not None and wanted.cpu > pool.max_cpu:
        yield Lack("cpu", f"a pod of it has at most {pool.max_cpu:g} cores, and this needs {wanted.cpu:g}")
    if wanted.memory is not None and pool.max_memory is not None and wanted.memory > pool.max_memory:
        needs = in_bytes(wanted.memory)
        yield Lack("memory", f"a pod of it has at most {in_bytes(pool.max_memory)}, and this needs {needs}")
    if wanted.image and not pools.runs_images:
        yield Lack("image", "steps run as programs of this machine here, in no image; leave it out")
    elif wanted.image and (why := objection(wanted.image, pools.images, pool.images)) is not None:
        yield Lack("image", why)


def _lacking_gpus(pool: Pool, wanted: Resources) -> Iterator[Lack]:
    if wanted.gpus > pool.gpus_per_node:
        has = f"a node of it has {_count(pool.gpus_per_node, 'GPU')}" if pool.gpus_per_node else "it has no GPUs"
        yield Lack("gpus", f"{has}, and this needs {wanted.gpus}")
    if not wanted.gpus or wanted.gpu_memory is None:
        return
    if pool.gpu_memory is None:
        yield Lack("gpu_memory", "it does not say how much memory its GPUs have")
    elif wanted.gpu_memory > pool.gpu_memory:
        needs = in_bytes(wanted.gpu_memory)
        yield Lack("gpu_memory", f"a GPU of it has {in_bytes(pool.gpu_memory)}, and this needs {needs}")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
