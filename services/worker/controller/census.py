"""What a round found out about the pools, published at its end for people to look at."""

import time
from collections.abc import Iterable

import structlog

from services.core.errors import StoreUnavailable
from services.core.pool_states import PoolStates, Published, states_of
from services.core.pools import Pools
from services.core.records import Attempt
from services.worker.executors import Executor

log = structlog.get_logger()


def publish(states: PoolStates, pools: Pools, executor: Executor, attempts: Iterable[Attempt]) -> None:
    """Publish what the live `attempts` make of the pools. Raises `StoreUnavailable` and nothing else."""
    try:
        states.publish(Published(time=time.time(), pools=states_of(pools, executor.rooms(), attempts)))
    except StoreUnavailable:
        raise
    except Exception:
        # The edge of the figures: nobody's work may wait for them.
        log.exception("pools_not_published")
