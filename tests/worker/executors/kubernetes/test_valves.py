"""How many Jobs, and how fast."""

from services.core.monitoring.instruments import Registry
from services.worker.executors.kubernetes.metrics import Metrics
from services.worker.executors.kubernetes.valves import Limits, Valves


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def valves(clock: Clock, **limits: float) -> Valves:
    return Valves(Limits(**{"in_flight": 10, "in_flight_per_tenant": 10, "burst": 100, **limits}), Metrics(), clock)  # type: ignore[arg-type]


def test_no_more_jobs_are_in_flight_than_the_cluster_may_have() -> None:
    clock, there = Clock(), list[str]()
    gate = valves(clock, in_flight=3)
    for _ in range(3):
        assert gate.enter("a", lambda: there) is None
    assert "3 is the most for the cluster" in (gate.enter("b", lambda: there) or "")


def test_a_tenant_that_has_its_share_leaves_room_for_another() -> None:
    gate = valves(Clock(), in_flight_per_tenant=2)
    assert [gate.enter("a", lambda: ["a"]) is None for _ in range(2)] == [True, False]
    assert gate.enter("b", lambda: ["a"]) is None


def test_what_was_just_made_counts_until_it_is_seen_and_not_twice_after() -> None:
    clock, there = Clock(), list[str]()
    gate = valves(clock, in_flight=2)
    assert gate.enter("a", lambda: there) is None
    there.append("a")
    gate.leave("a")
    assert gate.enter("a", lambda: there) is None
    gate.leave("a")
    assert gate.enter("a", lambda: there)
    clock.now = 1.0
    assert gate.enter("a", lambda: there) is None


def test_a_job_that_is_over_makes_room() -> None:
    clock, there = Clock(), ["a", "a"]
    gate = valves(clock, in_flight=2)
    assert gate.enter("a", lambda: there)
    clock.now, there[:] = 1.0, ["a"]
    assert gate.enter("a", lambda: there) is None


def test_creations_come_in_a_burst_and_then_at_their_rate() -> None:
    clock = Clock()
    gate = valves(clock, in_flight=1000, in_flight_per_tenant=1000, burst=5, per_second=2)
    assert [gate.enter("a", list) is None for _ in range(6)] == [True] * 5 + [False]
    clock.now = 1.0
    assert [gate.enter("a", list) is None for _ in range(3)] == [True, True, False]


def test_every_refusal_is_counted_by_its_valve() -> None:
    registry = Registry("controller")
    gate = Valves(Limits(in_flight=0), Metrics(registry), Clock())
    gate.enter("a", list)
    assert registry.value("cohort_kubernetes_held_total", {"valve": "cluster"}) == 1
