"""What the pools hold at the moment, as it is published."""

from collections import Counter

from services.core.pool_states import PoolState, PoolStates, Published, Room, Standing, states_of
from services.core.pools import Pool, Pools
from services.core.records import Attempt, Stage
from services.core.redis import Client

POOLS = Pools(pools=(Pool(name="cpu"), Pool(name="a100", gpus_per_node=8, nodes=4)))


def attempt(pool: str, **fields: object) -> Attempt:
    values = {"id": "r-train-1", "number": 1, "command": "true", "snapshot": "0" * 64, "deadline_seconds": 60}
    return Attempt.model_validate({**values, "submitted": 1.0, "pool": pool, **fields})


def test_attempts_with_a_node_run_and_the_others_wait_for_one() -> None:
    attempts = [
        attempt("a100", status="running"),
        attempt("a100", stage=Stage.PULLING),
        attempt("a100", stage=Stage.SCHEDULING),
        attempt("a100"),
        attempt("", stage=Stage.QUEUED),
        attempt("a pool of yesterday", status="running"),
    ]
    cpu, a100 = states_of(
        POOLS, [Room(name="a100", nodes=2, gpus=16, gpus_free=4)], Counter(map(Standing.of, attempts))
    )
    assert cpu == PoolState(name="cpu", queued=1)
    assert a100 == PoolState(name="a100", nodes=2, gpus=16, gpus_free=4, running=2, queued=2)


def test_the_newest_figures_are_read_as_they_were_published(any_client: Client) -> None:
    states = PoolStates(any_client)
    assert states.newest() is None
    for time in (1.0, 2.0):
        states.publish(Published(time=time, pools=states_of(POOLS, [], {})))
    newest = states.newest()
    assert newest == Published(time=2.0, pools=(PoolState(name="cpu"), PoolState(name="a100")))
