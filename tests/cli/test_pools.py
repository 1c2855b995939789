"""`cohort pools`."""

import json

import pytest

from services.cli.look import Look
from services.cli.pools import age_text, pool_lines, read_pools
from services.cli.problems import Bewildering
from tests.cli.api import ApiProcess
from tests.cli.conftest import Cohort

A100 = {
    "name": "a100-spot",
    "price_per_hour": 1.25,
    "spot": True,
    "queue": "gpus",
    "gpu_product": "NVIDIA A100",
    "gpu_memory": 40 << 30,
    "max_gpus": 32,
    "max_nodes": 4,
    "nodes": 2,
    "gpus": 16,
    "gpus_free": 5,
    "cores": 180.5,
    "cores_free": 99.0,
    "running": 3,
    "queued": 1,
}
LOCAL = {"name": "local", "price_per_hour": 0}


def test_the_table_has_a_line_for_each_pool() -> None:
    pools = read_pools({"items": [LOCAL, A100], "age_seconds": 2})
    assert pool_lines(pools, Look(width=120)) == [
        "POOL        GPUS  FREE  CORES  FREE  NODES  RUNNING  QUEUED  $/HOUR",
        "local          -     ?      ?     ?    ?/1        ?       ?    0.00",
        "a100-spot  16/32     5  180.5    99    2/4        3       1    1.25  NVIDIA A100 40Gi, spot, queue gpus",
    ]


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (None, "no controller has looked at the pools yet"),
        (2.0, "as seen 2.0 s ago"),
        (90.0, "as seen 1 min 30 s ago; is the controller up?"),
    ],
)
def test_the_age_of_the_figures_is_told(age: float | None, text: str) -> None:
    assert age_text(read_pools({"items": [LOCAL], "age_seconds": age})) == text


def test_an_answer_of_another_version_is_told_as_one() -> None:
    with pytest.raises(Bewildering):
        read_pools({"items": [{"name": 7}]})


def test_pools_are_listed_from_the_api(api: ApiProcess, cohort: Cohort) -> None:
    shown = cohort("pools")
    assert shown.code == 0
    assert shown.out.splitlines()[1].split()[0] == "local"
    assert shown.err == "cohort: no controller has looked at the pools yet\n"
    assert json.loads(cohort("pools", "--json").out)["items"][0]["name"] == "local"
