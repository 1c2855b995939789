"""What a goal says its steps need."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.core.needs import AskedNeeds, Needs
from services.core.resources import Resources

GIB = 2**30


@pytest.mark.parametrize(
    ("needs", "said", "got"),
    [
        (Needs(), {}, Resources()),
        (Needs(), {"gpus": 2, "nodes": 3}, Resources(gpus=2, nodes=3)),
        (Needs(gpus=1, gpu_memory=40 * GIB), {}, Resources(gpus=1, gpu_memory=40 * GIB)),
        (Needs(gpus=1, gpu_memory=40 * GIB), {"gpus": 4}, Resources(gpus=4, gpu_memory=40 * GIB)),
        (Needs(gpus=1, gpu_memory=40 * GIB), {"gpus": 0}, Resources()),
        (Needs(gpu_memory=40 * GIB), {"gpus": 1}, Resources(gpus=1, gpu_memory=40 * GIB)),
        (Needs(pool=("a", "b"), image="i"), {"pools": ("b",)}, Resources(pools=("b",), image="i")),
        (Needs(pool=("a", "b"), nodes=2), {"nodes": 1}, Resources(pools=("a", "b"))),
        (Needs(memory=16 * GIB, shm=8 * GIB), {"memory": 4 * GIB}, Resources(memory=4 * GIB, shm=4 * GIB)),
        (Needs(memory=16 * GIB, cpu=4.0), {"cpu": 1.0}, Resources(memory=16 * GIB, cpu=1.0)),
    ],
)
def test_a_step_gets_what_it_says_and_for_the_rest_what_the_goal_says(
    needs: Needs, said: dict[str, Any], got: Resources
) -> None:
    assert needs.completed(Resources(**said), frozenset(said)) == got


def test_a_step_that_says_nothing_gets_a_gpu_where_only_its_memory_is_said() -> None:
    assert AskedNeeds(gpu_memory="40Gi").resources == Resources(gpus=1, gpu_memory=40 * GIB)
    assert AskedNeeds(gpus=2).resources == Resources(gpus=2)
    assert AskedNeeds().resources == Resources()


def test_they_are_told_as_they_were_said() -> None:
    needs = AskedNeeds(gpus=1, gpu_memory="40Gi", cpu="500m", nodes=2, pool=["a", "b"], image="i:1")
    assert needs.text == "gpus 1, gpu_memory 40Gi, cpu 0.5, nodes 2, pool a or b, image i:1"
    assert Needs().text == ""


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"gpu": 1}, "gpu"),
        ({"gpus": 0.5}, "gpus"),
        ({"gpus": -1}, "gpus"),
        ({"nodes": 0}, "nodes"),
        ({"memory": "plenty"}, "no amount of memory"),
        ({"pool": [""]}, "pool"),
        ({"pool": ["a"] * 21}, "pool"),
        ({"gpus": 0, "gpu_memory": "40Gi"}, "gpus is 0"),
        ({"memory": "1Gi", "shm": "2Gi"}, "shm counts as memory"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        AskedNeeds.model_validate(asked)


def test_a_newer_versions_record_is_read() -> None:
    assert Needs.model_validate({"gpus": 1, "tpus": 4}) == Needs(gpus=1)
