"""GPUs of a tenant's quota: held by few, waited for in order."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from services.core.gpus import GpuHolds, Shortage
from services.core.redis import Client


@pytest.fixture
def holds(any_client: Client) -> GpuHolds:
    return GpuHolds(any_client)


def test_what_fits_is_held_and_what_does_not_waits(holds: GpuHolds) -> None:
    assert holds.reserve("acme", "a", 6, 8, 1.0) is None
    assert holds.reserve("acme", "b", 4, 8, 2.0) == Shortage(6, 0, is_final=False)
    assert holds.reserve("beta", "c", 8, 8, 3.0) is None
    assert (holds.held("acme"), holds.waiting("acme")) == ({"a": 6}, ["b"])

    holds.release("acme", "a")

    assert holds.reserve("acme", "b", 4, 8, 2.0) is None
    assert (holds.held("acme"), holds.waiting("acme")) == ({"b": 4}, [])


def test_repeating_changes_nothing(holds: GpuHolds) -> None:
    for _ in range(3):
        assert holds.reserve("acme", "a", 8, 8, 1.0) is None
        assert holds.reserve("acme", "b", 8, 8, 2.0) == Shortage(8, 0, is_final=False)
    for _ in range(3):
        holds.release("acme", "a")
        holds.release("acme", "b")
    assert (holds.held("acme"), holds.waiting("acme")) == ({}, [])


def test_a_small_one_does_not_overtake_a_large_one(holds: GpuHolds) -> None:
    holds.reserve("acme", "running", 4, 8, 1.0)
    assert holds.reserve("acme", "small", 5, 8, 3.0) == Shortage(4, 0, is_final=False)
    assert holds.reserve("acme", "large", 8, 8, 2.0) == Shortage(4, 0, is_final=False)
    assert holds.reserve("acme", "tiny", 1, 8, 4.0) == Shortage(4, 2, is_final=False)
    assert holds.waiting("acme") == ["large", "small", "tiny"]
    holds.release("acme", "running")
    assert holds.reserve("acme", "tiny", 1, 8, 4.0) == Shortage(0, 2, is_final=False)
    assert holds.reserve("acme", "large", 8, 8, 2.0) is None


def test_one_that_can_never_fit_keeps_nobody_waiting(holds: GpuHolds) -> None:
    holds.reserve("acme", "running", 8, 16, 1.0)
    assert holds.reserve("acme", "large", 16, 16, 2.0) == Shortage(8, 0, is_final=False)
    # The quota is lowered.
    assert holds.reserve("acme", "large", 16, 12, 2.0) == Shortage(8, 0, is_final=True)
    assert holds.reserve("acme", "small", 4, 12, 3.0) is None


def test_what_runs_is_noted_beyond_any_quota(holds: GpuHolds) -> None:
    holds.note("acme", "old", 16)
    holds.note("acme", "old", 16)
    assert holds.held("acme") == {"old": 16}
    assert holds.reserve("acme", "new", 1, 8, 1.0) == Shortage(16, 0, is_final=False)


def test_many_controllers_at_once_give_away_no_gpu_twice(holds: GpuHolds) -> None:
    names = [f"attempt-{number}" for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: holds.reserve("acme", name, 3, 16, 1.0), names))
    assert sum(holds.held("acme").values()) == 15
    assert len(holds.waiting("acme")) == 55


NAMES = tuple("abcdefgh")
ACTS = st.lists(
    st.tuples(st.sampled_from(("reserve", "reserve", "reserve", "release")), st.sampled_from(NAMES)), max_size=60
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS, sizes=st.lists(st.integers(1, 9), min_size=8, max_size=8), quota=st.integers(1, 12))
def test_together_they_never_hold_more_than_the_quota(
    client: Client, acts: Sequence[tuple[str, str]], sizes: Sequence[int], quota: int
) -> None:
    client.flushall()
    holds, size = GpuHolds(client), dict(zip(NAMES, sizes, strict=True))
    for act, name in acts:
        if act == "release":
            holds.release("acme", name)
        else:
            shortage = holds.reserve("acme", name, size[name], quota, float(NAMES.index(name)))
            assert (shortage is None) == (name in holds.held("acme"))
        assert sum(holds.held("acme").values()) <= quota
        assert not set(holds.held("acme")) & set(holds.waiting("acme"))
    # Whoever is left comes to run once the others are through.
    for name in NAMES:
        holds.reserve("acme", name, size[name], quota, float(NAMES.index(name)))
    for name in (*holds.held("acme"), *NAMES):
        holds.release("acme", name)
    assert (holds.held("acme"), holds.waiting("acme")) == ({}, [])
