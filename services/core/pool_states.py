"""What the pools hold at the moment: published by the controller, read by whoever wants to know.

These are figures to look at. No step is placed or refused by them: see `placement`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.core import keys
from services.core.errors import NewerRecord
from services.core.pools import Pools
from services.core.record import Record, Versioned
from services.core.records import Attempt, Stage
from services.core.redis import Client, answered

SUBMITTED = "submitted"
STAGES = (SUBMITTED, *Stage)
"""How far a live attempt may have come; `submitted`: nothing is known of it yet."""

_WHILE_RUNNING = frozenset({Stage.RUNNING, Stage.FINISHING, Stage.UNKNOWN})
_HAS_NODE = frozenset({Stage.PULLING, Stage.STARTING, Stage.RUNNING, Stage.FINISHING})


class Room(Record):
    """What a pool's nodes have, as the executor's world shows it; None is what cannot be seen.

    `nodes` take pods now. Free is what no step has been given yet; what others run there is not known.
    """

    name: str
    nodes: int | None = None
    gpus: int | None = None
    gpus_free: int | None = None
    cores: float | None = None
    cores_free: float | None = None


class PoolState(Room):
    """A pool at one moment. `running` attempts have a node there, `queued` ones wait for it."""

    running: int = 0
    queued: int = 0


class Census(Record):
    """How many live attempts of a tenant stand alike, and how many GPUs they ask for together."""

    tenant: str
    pool: str
    stage: str
    has_node: bool
    attempts: int
    gpus: int


class Published(Versioned):
    """What the controller saw at `time`, in seconds since the epoch."""

    time: float
    pools: tuple[PoolState, ...]
    census: tuple[Census, ...] = ()


class PoolStates:
    """The newest figures of an install."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @answered
    def publish(self, published: Published) -> None:
        """Replace the figures."""
        self._client.set(keys.POOL_STATES, published.model_dump_json())

    @answered
    def newest(self) -> Published | None:
        """The figures; None before there were any."""
        text = self._client.get(keys.POOL_STATES)
        try:
            return None if text is None else Published.read(text)
        except NewerRecord:
            # A newer controller leads. Its figures are new in a moment; those who cannot read them have none.
            return None


class Standing(NamedTuple):
    """Where a live attempt stands: its tenant, its pool ('' before there were any), how far it has come, whether it has
    a node there, and how many GPUs it asks for. `stage` is one of `STAGES`."""

    tenant: str
    pool: str
    stage: str
    has_node: bool
    gpus: int

    @classmethod
    def of(cls, tenant: str, attempt: Attempt) -> "Standing":
        runs = attempt.status == "running"
        has_node = runs or attempt.stage in _HAS_NODE
        stage = attempt.stage or SUBMITTED
        if runs and stage not in _WHILE_RUNNING:
            # The cluster's word may come after its program's.
            stage = Stage.RUNNING
        return cls(tenant, attempt.pool, stage, has_node, attempt.resources.total_gpus)


def states_of(pools: Pools, rooms: Sequence[Room], standings: Mapping[Standing, int]) -> tuple[PoolState, ...]:
    """Every pool with what its nodes have and how many live attempts stand there. Pure.

    An attempt whose pool is not in the file any more is counted nowhere.
    """
    seen = {room.name: room for room in rooms}
    running, queued = Counter[str](), Counter[str]()
    for standing, count in standings.items():
        counts = running if standing.has_node else queued
        counts[standing.pool or pools.pools[0].name] += count
    return tuple(
        PoolState(
            **dict(seen.get(pool.name) or Room(name=pool.name)),
            running=running[pool.name],
            queued=queued[pool.name],
        )
        for pool in pools.pools
    )


def census_of(pools: Pools, standings: Mapping[Standing, int]) -> tuple[Census, ...]:
    """The same attempts by tenant, pool and stage. Pure. Here too those are left out whose pool is not in the file."""
    known = {pool.name for pool in pools.pools}
    named = ((standing, standing.pool or pools.pools[0].name, count) for standing, count in standings.items())
    return tuple(
        Census(
            tenant=standing.tenant,
            pool=pool,
            stage=standing.stage,
            has_node=standing.has_node,
            attempts=count,
            gpus=standing.gpus * count,
        )
        for standing, pool, count in named
        if pool in known
    )
