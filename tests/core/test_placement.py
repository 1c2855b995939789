from typing import Any

import pytest

from services.core.placement import Placement, Refusal, choose
from services.core.pools import Pools
from services.core.resources import Resources

GI = 2**30
POOLS = Pools.read(
    {
        "pools": [
            {"name": "h100", "gpus_per_node": 8, "nodes": 4, "gpu_memory": "80Gi", "price_per_hour": 3},
            {"name": "a100", "gpus_per_node": 8, "nodes": 2, "gpu_memory": "40Gi", "price_per_hour": 1.2},
            {"name": "a100-spot", "gpus_per_node": 8, "gpu_memory": "40Gi", "price_per_hour": 0.9, "spot": True},
            {"name": "l4", "gpus_per_node": 1, "nodes": 9, "gpu_memory": "24Gi", "price_per_hour": 0.9},
            {"name": "cpu", "max_cpu": 16, "max_memory": "64Gi", "price_per_hour": 0.2, "images": ["acme/*"]},
        ]
    }
)


def placed(of: Pools = POOLS, excluded: tuple[str, ...] = (), **wanted: Any) -> str:
    choice = choose(of, Resources(**wanted), excluded)
    assert isinstance(choice, Placement)
    return choice.pool.name


def refused(of: Pools = POOLS, excluded: tuple[str, ...] = (), **wanted: Any) -> Refusal:
    choice = choose(of, Resources(**wanted), excluded)
    assert isinstance(choice, Refusal)
    return choice


@pytest.mark.parametrize(
    ("wanted", "pool"),
    [
        ({}, "cpu"),
        ({"cpu": 32}, "l4"),
        ({"memory": 65 * GI}, "l4"),
        ({"gpus": 1}, "l4"),
        ({"gpus": 2}, "a100-spot"),
        ({"gpus": 2, "nodes": 2}, "a100"),
        ({"gpus": 1, "gpu_memory": 40 * GI}, "a100-spot"),
        ({"gpus": 1, "gpu_memory": 41 * GI}, "h100"),
        ({"image": "quay.io/x"}, "l4"),
        ({"gpus": 1, "pools": ("a100", "l4")}, "a100"),
        ({"gpus": 1, "gpu_memory": 80 * GI, "pools": ("l4", "h100")}, "h100"),
    ],
)
def test_the_first_named_pool_that_fits_is_taken_or_else_the_cheapest(wanted: dict[str, Any], pool: str) -> None:
    assert placed(**wanted) == pool


def test_of_two_that_cost_the_same_the_one_that_stays_is_taken() -> None:
    assert placed(gpus=1) == "l4"


def test_pools_that_were_tried_are_passed_over() -> None:
    assert placed(gpus=2, excluded=("a100-spot",)) == "a100"
    assert placed(gpus=2, excluded=("a100-spot", "a100")) == "h100"


def test_when_every_pool_that_fits_was_tried_that_is_said() -> None:
    refusal = refused(gpus=8, pools=("h100", "a100"), excluded=("h100", "a100"))

    assert refusal.text == "pool: every pool that can hold this has been tried"


@pytest.mark.parametrize(
    ("wanted", "nearest", "field", "text"),
    [
        ({"gpus": 10_000}, "h100", "gpus", "a node of it has 8 GPUs, and this needs 10000"),
        ({"gpus": 1, "gpu_memory": 90 * GI}, "h100", "gpu_memory", "a GPU of it has 80Gi, and this needs 90Gi"),
        ({"gpus": 8, "nodes": 5}, "h100", "nodes", "it grows to 4 nodes, and this needs 5"),
        ({"gpus": 2, "pools": ("cpu",)}, "cpu", "gpus", "it has no GPUs, and this needs 2"),
        ({"cpu": 17, "pools": ("cpu",)}, "cpu", "cpu", "a pod of it has at most 16 cores, and this needs 17"),
        ({"memory": 65 * GI, "pools": ("cpu",)}, "cpu", "memory", "a pod of it has at most 64Gi, and this needs 65Gi"),
        ({"image": "quay.io/x", "pools": ("cpu",)}, "cpu", "image", "'quay.io/x' is not allowed here"),
        ({"gpus": 2, "pools": ("l4", "cpu")}, "l4", "gpus", "a node of it has 1 GPU, and this needs 2"),
    ],
)
def test_what_no_pool_can_ever_hold_is_refused_with_the_nearest(
    wanted: dict[str, Any], nearest: str, field: str, text: str
) -> None:
    refusal = refused(**wanted)

    assert (refusal.nearest, refusal.field) == (nearest, field)
    assert f"The nearest is {nearest}" in refusal.text
    assert f"{field}: {text}" in refusal.text


def test_everything_the_nearest_lacks_is_named() -> None:
    text = refused(gpus=9, nodes=5, gpu_memory=90 * GI, pools=("h100",)).text

    assert all(f"{field}:" in text for field in ("gpus", "nodes", "gpu_memory"))


def test_a_pool_nobody_knows_is_refused_with_those_there_are() -> None:
    refusal = choose(POOLS, Resources(pools=("l4", "l40")))

    assert isinstance(refusal, Refusal)
    assert refusal.text == "pool: there is no pool 'l40'; there are h100, a100, a100-spot, l4, cpu"


def test_steps_that_are_programs_of_this_machine_have_no_image() -> None:
    local = Pools.local().model_copy(update={"runs_images": False})

    assert "leave it out" in refused(local, image="python").text
    assert placed(local, memory=2**50) == "local"


def test_programs_of_this_machine_run_on_no_second_node() -> None:
    here = POOLS.model_copy(update={"runs_images": False})
    refusal = refused(here, gpus=1, nodes=2, pools=("a100",))
    assert refusal.field == "nodes"
    assert "this machine" in refusal.text
