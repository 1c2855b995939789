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


class Published(Versioned):
    """What the controller saw at `time`, in seconds since the epoch."""

    time: float
    pools: tuple[PoolState, ...]


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
    """Where a live attempt stands: its pool ('' before there were any), and whether it has a node there."""

    pool: str
    has_node: bool

    @classmethod
    def of(cls, attempt: Attempt) -> "Standing":
        return cls(attempt.pool, attempt.status == "running" or attempt.stage in _HAS_NODE)


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
