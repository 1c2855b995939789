"""`GET /v1/pools`."""

import time
from collections.abc import Callable

import httpx

from services.core.apikeys import Scope
from services.core.pool_states import PoolStates, Published, Room, states_of
from services.core.pools import Pool, Pools
from tests.api.conftest import Api

POOLS = Pools(
    pools=(
        Pool(name="cpu", price_per_hour=0.5, max_cpu=16.0),
        Pool(
            name="a100",
            gpus_per_node=8,
            nodes=4,
            gpu_memory=40 << 30,
            gpu_product="NVIDIA A100",
            price_per_hour=1.25,
            spot=True,
            queue="gpus",
        ),
    )
)


def test_without_a_pools_file_there_is_the_local_pool(http: httpx.Client) -> None:
    told = http.get("/v1/pools").json()
    assert told["age_seconds"] is None
    [pool] = told["items"]
    assert (pool["name"], pool["max_gpus"], pool["running"], pool["nodes"]) == ("local", 0, None, None)


def test_pools_are_told_with_what_the_controller_saw(start_api: Callable[..., Api]) -> None:
    api = start_api(pools=POOLS)
    rooms = [Room(name="a100", nodes=2, gpus=16, gpus_free=5, cores=180.0, cores_free=99.5)]
    PoolStates(api.parts.store.client).publish(Published(time=time.time() - 5, pools=states_of(POOLS, rooms, {})))

    with api.client(Scope.READ) as http:
        told = http.get("/v1/pools").json()

    assert 5 <= told["age_seconds"] < 60
    cpu, a100 = told["items"]
    assert (cpu["name"], cpu["price_per_hour"], cpu["max_cpu"], cpu["cores"]) == ("cpu", 0.5, 16.0, None)
    assert a100 == {
        "name": "a100",
        "price_per_hour": 1.25,
        "spot": True,
        "queue": "gpus",
        "gpu_product": "NVIDIA A100",
        "gpu_memory": 40 << 30,
        "gpus_per_node": 8,
        "max_nodes": 4,
        "max_gpus": 32,
        "max_cpu": None,
        "max_memory": None,
        "nodes": 2,
        "gpus": 16,
        "gpus_free": 5,
        "cores": 180.0,
        "cores_free": 99.5,
        "running": 0,
        "queued": 0,
    }


def test_a_key_that_may_not_read_sees_no_pools(api: Api) -> None:
    with api.client(Scope.SUBMIT) as http:
        assert http.get("/v1/pools").status_code == 403
