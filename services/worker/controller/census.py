"""What a round found out about the pools, published at its end for people to look at."""

import time
from collections.abc import Mapping

import structlog

from services.core.errors import StoreUnavailable
from services.core.pool_states import PoolStates, Published, Standing, census_of, states_of
from services.core.pools import Pools
from services.worker.executors import Executor

log = structlog.get_logger()


def publish(states: PoolStates, pools: Pools, executor: Executor, standings: Mapping[Standing, int]) -> None:
    """Publish what live attempts make of the pools, of which so many stand where. Raises `StoreUnavailable` alone."""
    try:
        rooms, census = states_of(pools, executor.rooms(), standings), census_of(pools, standings)
        states.publish(Published(time=time.time(), pools=rooms, census=census))
    except StoreUnavailable:
        raise
    except Exception:
        # The edge of the figures: nobody's work may wait for them.
        log.exception("pools_not_published")
