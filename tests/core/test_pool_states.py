"""What the pools hold at the moment, as it is published."""

from collections import Counter

from services.core.pool_states import Census, PoolState, PoolStates, Published, Room, Standing, census_of, states_of
from services.core.pools import Pool, Pools
from services.core.records import Attempt, Stage
from services.core.redis import Client
from services.core.resources import Resources

POOLS = Pools(pools=(Pool(name="cpu"), Pool(name="a100", gpus_per_node=8, nodes=4)))

CENSUS = Census(tenant="acme", pool="a100", stage="running", has_node=True, attempts=2, gpus=16)


def attempt(pool: str, **fields: object) -> Attempt:
    values = {"id": "r-train-1", "number": 1, "command": "true", "snapshot": "0" * 64, "deadline_seconds": 60}
    return Attempt.model_validate({**values, "submitted": 1.0, "pool": pool, **fields})


def standings(*attempts: Attempt, tenant: str = "acme") -> Counter[Standing]:
    return Counter(Standing.of(tenant, attempt) for attempt in attempts)


def test_attempts_with_a_node_run_and_the_others_wait_for_one() -> None:
    attempts = [
        attempt("a100", status="running"),
        attempt("a100", stage=Stage.PULLING),
        attempt("a100", stage=Stage.SCHEDULING),
        attempt("a100"),
        attempt("", stage=Stage.QUEUED),
        attempt("a pool of yesterday", status="running"),
    ]
    cpu, a100 = states_of(POOLS, [Room(name="a100", nodes=2, gpus=16, gpus_free=4)], standings(*attempts))
    assert cpu == PoolState(name="cpu", queued=1)
    assert a100 == PoolState(name="a100", nodes=2, gpus=16, gpus_free=4, running=2, queued=2)


def test_a_census_counts_attempts_and_their_gpus_by_who_pays_and_how_far_they_are() -> None:
    large = Resources(gpus=4, nodes=2)
    acme = standings(
        attempt("a100", status="running", resources=large),
        attempt("a100", status="running", stage=Stage.STARTING, resources=large),
        attempt("a100", stage=Stage.QUEUED, resources=large),
        attempt("a100", status="running", stage=Stage.FINISHING),
        attempt("a pool of yesterday", resources=large),
    )
    census = census_of(POOLS, acme + standings(attempt(""), tenant="other team"))
    assert {(one.tenant, one.pool, one.stage): (one.attempts, one.gpus) for one in census} == {
        ("acme", "a100", "running"): (2, 16),
        ("acme", "a100", "queued"): (1, 8),
        ("acme", "a100", "finishing"): (1, 0),
        ("other team", "cpu", "submitted"): (1, 0),
    }
    assert {one.stage for one in census if one.has_node} == {"running", "finishing"}


def test_the_newest_figures_are_read_as_they_were_published(any_client: Client) -> None:
    states = PoolStates(any_client)
    assert states.newest() is None
    for time in (1.0, 2.0):
        states.publish(Published(time=time, pools=states_of(POOLS, [], {}), census=(CENSUS,)))
    newest = states.newest()
    assert newest == Published(time=2.0, pools=(PoolState(name="cpu"), PoolState(name="a100")), census=(CENSUS,))
