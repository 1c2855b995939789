"""Pools whose pods a real Kueue admits: waiting, going on, being cancelled and being put off."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.core.pools import Pool, Pools
from services.core.records import Stage
from services.worker.executors import AttemptSpec, Observed, Phase
from tests.cluster.admin import Admin
from tests.cluster.queues import LOOKED_AFTER, Queue, is_installed
from tests.cluster.world import SMALL, KubernetesWorld, wait_until
from tests.runner.ingest import Ingest
from tests.worker.executors.contract import ENDLESS, until, until_over, until_said, until_settled

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

POOLS = Pools(
    pools=(
        Pool(name="local", queue=Queue.name),
        Pool(name="nowhere", queue=Queue.name, node_selector={"cohort.dev/no-node": "has-this"}),
    )
)
SAVING = "trap 'echo saving; exit 0' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def world(admin: Admin, ingest: Ingest, tmp_path: Path) -> Iterator[KubernetesWorld]:
    if not is_installed(admin):
        pytest.skip("the cluster has no Kueue: .ci/kueue up installs it")
    ingest.reset()
    world = KubernetesWorld(admin, ingest, tmp_path, POOLS, LOOKED_AFTER)
    yield world
    world.end()


@pytest.fixture
def queue(admin: Admin, world: KubernetesWorld) -> Iterator[Queue]:
    """A queue with room for two pods; its LocalQueue is there."""
    queue = Queue(admin, world.namespace, pods=2)
    queue.open()
    yield queue
    queue.close()


def submitted(world: KubernetesWorld, script: str, nodes: int = 1, pool: str = "local") -> AttemptSpec:
    spec = world.spec(script, resources=SMALL.model_copy(update={"nodes": nodes}), pool=pool)
    world.executor.submit(spec)
    return spec


def running(world: KubernetesWorld, script: str = ENDLESS, nodes: int = 1) -> AttemptSpec:
    """An attempt whose program has said that it runs."""
    spec = submitted(world, script, nodes)
    for name in ranks(spec):
        until_said(world, name, b"ready")
    return spec


def ranks(spec: AttemptSpec) -> list[str]:
    nodes = spec.resources.nodes
    return [spec.attempt] if nodes == 1 else [f"{spec.attempt}.{rank}" for rank in range(nodes)]


def until_queued(world: KubernetesWorld, spec: AttemptSpec, words: str) -> Observed:
    seen = until(world, spec.attempt, lambda seen: seen.stage is Stage.QUEUED and words in seen.detail)
    assert (seen.phase, world.admin.pods(world.namespace, spec.attempt)) == (Phase.STARTING, [])
    return seen


def has_job(world: KubernetesWorld, spec: AttemptSpec) -> bool:
    return world.admin.found(world.admin.batch.read_namespaced_job, spec.attempt, world.namespace) is not None


def pods_made(world: KubernetesWorld, spec: AttemptSpec) -> int:
    """How many pods the Job has had, by the cluster's own account."""
    events = world.admin.core.list_namespaced_event(world.namespace).items
    made = [one for one in events if one.reason == "SuccessfulCreate" and one.involved_object.name == spec.attempt]
    return sum(one.count or 1 for one in made)


def in_rounds(world: KubernetesWorld, condition: Callable[[], bool]) -> None:
    """Wait while the executor's rounds go on, as the controller makes them."""
    wait_until(lambda: (world.executor.list(), condition())[1])


def cause(seen: Observed) -> tuple[str, bool]:
    """What was wrong, and whether the platform tries again."""
    return (seen.diagnosis.code, seen.diagnosis.is_retriable) if seen.diagnosis else ("", False)


def test_where_there_is_room_the_attempt_is_admitted_and_runs_to_its_end(world: KubernetesWorld, queue: Queue) -> None:
    spec = submitted(world, "echo ran")

    seen = until_over(world, spec.attempt)

    assert (seen.phase, seen.reason, seen.diagnosis) == (Phase.FINISHED, "exited", None)
    assert until_settled(world, spec.attempt).log == b"ran\n"
    wait_until(lambda: queue.is_finished(spec.attempt))


def test_where_the_quota_is_used_up_it_waits_with_kueues_words_and_goes_on_by_itself(
    world: KubernetesWorld, queue: Queue
) -> None:
    other, first = running(world), running(world, "echo ready; sleep 15")
    waits = submitted(world, "echo ran")

    seen = until_queued(world, waits, "insufficient unused quota for pods")

    assert seen.detail.startswith("in queue team: ")
    assert (seen.diagnosis, queue.in_use()) == (None, 2)
    assert until_settled(world, waits.attempt).log == b"ran\n"
    assert until_over(world, first.attempt).reason == "exited"
    assert world.executor.inspect(other.attempt).phase is Phase.RUNNING


def test_one_that_is_cancelled_in_the_queue_leaves_nothing_behind(world: KubernetesWorld, queue: Queue) -> None:
    others = [running(world), running(world)]
    waits = submitted(world, "echo ran")
    until_queued(world, waits, "insufficient")

    world.executor.cancel(waits.attempt)

    until(world, waits.attempt, lambda seen: seen.phase is Phase.ABSENT)
    wait_until(lambda: set(queue.workloads()) == {other.attempt for other in others})
    assert (has_job(world, waits), queue.in_use(), pods_made(world, waits)) == (False, 2, 0)
    until_queued(world, submitted(world, "echo ran"), "insufficient")


def test_one_that_is_cancelled_while_it_runs_ends_and_is_not_started_again(
    world: KubernetesWorld, queue: Queue
) -> None:
    spec, _ = running(world, SAVING), running(world)
    waits = submitted(world, "echo ran")
    until_queued(world, waits, "insufficient")

    world.executor.cancel(spec.attempt)

    assert until_settled(world, spec.attempt).log.endswith(b"saving\n")
    seen = until(world, spec.attempt, lambda seen: seen.phase.is_over and not seen.lingers)
    assert (seen.phase, seen.diagnosis) == (Phase.FINISHED, None)
    # What waits in the same queue is let in instead of it.
    assert until_settled(world, waits.attempt).log == b"ran\n"
    wait_until(lambda: queue.is_finished(spec.attempt))
    assert pods_made(world, spec) == 1


@pytest.mark.parametrize("nodes", [1, 2])
def test_one_that_kueue_puts_off_is_lost_and_another_goes_on_when_there_is_room(
    world: KubernetesWorld, queue: Queue, nodes: int
) -> None:
    spec = running(world, SAVING, nodes)

    leave = queue.intrude(2)

    in_rounds(world, lambda: world.executor.inspect(spec.attempt).phase.is_over)
    seen = world.executor.inspect(spec.attempt)
    assert cause(seen) == ("suspended", True)
    assert seen.diagnosis and "reempted to accommodate a workload" in seen.diagnosis.summary
    assert all(until_settled(world, name).log.endswith(b"saving\n") for name in ranks(spec))
    # Kueue would start the Job again.
    in_rounds(world, lambda: not has_job(world, spec))
    again = submitted(world, "echo ran", nodes)
    until_queued(world, again, "insufficient")
    leave()
    assert [until_settled(world, name).log for name in ranks(again)] == [b"ran\n"] * nodes
    assert (pods_made(world, spec), spec.attempt in queue.workloads()) == (nodes, False)


def test_one_that_is_put_off_before_it_began_stays_in_the_queue(world: KubernetesWorld, queue: Queue) -> None:
    spec = submitted(world, "echo ran", pool="nowhere")
    until(world, spec.attempt, lambda seen: seen.stage is Stage.SCHEDULING)

    leave = queue.intrude(2)

    in_rounds(world, lambda: world.executor.inspect(spec.attempt).stage is Stage.QUEUED)
    wait_until(lambda: not world.admin.pods(world.namespace, spec.attempt))
    seen = until_queued(world, spec, "in queue team: ")
    assert seen.diagnosis is None
    leave()
    in_rounds(world, lambda: world.executor.inspect(spec.attempt).stage is Stage.SCHEDULING)
    wait_until(lambda: pods_made(world, spec) == 2)
    world.executor.cancel(spec.attempt)
    assert until_over(world, spec.attempt).reason == "cancelled"


def test_several_ranks_are_admitted_all_or_none(world: KubernetesWorld, queue: Queue) -> None:
    one = running(world)
    both = submitted(world, "echo ran", nodes=2)
    until_queued(world, both, "insufficient unused quota for pods")

    world.executor.cancel(one.attempt)

    assert [until_settled(world, name).log for name in ranks(both)] == [b"ran\n"] * 2


def test_a_queue_that_is_not_there_is_told_and_waited_for(world: KubernetesWorld, admin: Admin) -> None:
    queue = Queue(admin, world.namespace, pods=2)
    spec = submitted(world, "echo ran")

    seen = until_queued(world, spec, "LocalQueue team doesn't exist")

    assert seen.diagnosis
    assert (seen.diagnosis.code, seen.diagnosis.is_final) == ("queue_closed", False)
    queue.open()
    assert until_settled(world, spec.attempt).log == b"ran\n"
    queue.close()


def test_a_queue_that_is_stopped_is_told_and_waited_for(world: KubernetesWorld, queue: Queue) -> None:
    queue.stop("Hold")
    spec = submitted(world, "echo ran")

    seen = until_queued(world, spec, f"ClusterQueue {world.namespace} is")

    assert cause(seen) == ("queue_closed", False)
    queue.stop("None")
    assert until_settled(world, spec.attempt).log == b"ran\n"


def test_a_queue_that_is_drained_loses_what_runs(world: KubernetesWorld, queue: Queue) -> None:
    spec = running(world, SAVING)

    queue.stop("HoldAndDrain")

    seen = until_over(world, spec.attempt)
    assert cause(seen) == ("suspended", True)
    assert seen.diagnosis and "The ClusterQueue is stopped" in seen.diagnosis.summary
    in_rounds(world, lambda: not has_job(world, spec))
    queue.stop("None")
