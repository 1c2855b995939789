"""Steps on several nodes: pods that find each other by name, and ends that are the one rank's which began them."""

from dataclasses import replace

import pytest

from services.core.resources import Resources
from services.worker.executors import AttemptBusy, AttemptSpec, Observed, Phase
from services.worker.executors.kubernetes.manifest import RANK
from tests.cluster.admin import RUNNER_IMAGE
from tests.cluster.world import SMALL, KubernetesWorld, wait_until
from tests.runner.ingest import Kept

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

MEETING = """
import os, socket, sys, time
rank, address = int(os.environ["NODE_RANK"]), (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
def reach():
    while True:
        try:
            return socket.create_connection(address, timeout=5)
        except OSError:
            time.sleep(0.2)
if rank == 0:
    with socket.create_server(("", address[1])) as server:
        peer, _ = server.accept()
        with peer:
            print("rank 0 heard", peer.recv(100).decode(), flush=True)
            peer.sendall(b"hello rank 1")
else:
    with reach() as peer:
        peer.sendall(b"hello rank 0")
        print("rank 1 heard", peer.recv(100).decode(), flush=True)
print(os.environ["PET_NODE_RANK"], os.environ["PET_NNODES"], os.environ["RANK"], os.environ["WORLD_SIZE"], flush=True)
"""
ONE_FAILS = """
echo "rank $NODE_RANK begins"
if [ "$NODE_RANK" = 1 ]; then seq 1 20000; echo "the cause" >&2; exit 3; fi
while :; do sleep 0.1; done
"""


def several(nodes: int, image: str = "") -> Resources:
    return SMALL.model_copy(update={"nodes": nodes, "image": image})


def ranks(world: KubernetesWorld, spec: AttemptSpec) -> list[Kept]:
    """What the ranks of an attempt reported."""
    return [world.kept(f"{spec.attempt}.{rank}") for rank in range(spec.resources.nodes)]


def until_over(world: KubernetesWorld, attempt: str) -> Observed:
    """How it ended. Pods of several ranks take their time on a small node."""
    wait_until(lambda: world.executor.inspect(attempt).phase.is_over, timeout=150)
    return world.executor.inspect(attempt)


def until_reported(world: KubernetesWorld, spec: AttemptSpec) -> list[bytes]:
    """The ranks' logs, once each has reported its end."""
    wait_until(lambda: all(rank.accepted for rank in ranks(world, spec)))
    return [bytes(rank.log) for rank in ranks(world, spec)]


def removed(world: KubernetesWorld, spec: AttemptSpec) -> bool:
    """Whether the attempt could be removed: its sidecars have ended."""
    try:
        world.executor.remove(spec.attempt)
    except AttemptBusy:
        return False
    return True


def test_two_pods_find_each_other_by_name_and_talk(world: KubernetesWorld) -> None:
    spec = world.spec(MEETING, resources=several(2, RUNNER_IMAGE))
    spec = replace(spec, command=("python3", "-c", MEETING))
    world.executor.submit(spec)
    seen = until_over(world, spec.attempt)
    assert (seen.phase, seen.reason, seen.diagnosis) == (Phase.FINISHED, "exited", None)
    assert seen.exit
    assert seen.exit.exit_code == 0
    assert until_reported(world, spec) == [
        b"rank 0 heard hello rank 0\n0 2 0 2\n",
        b"rank 1 heard hello rank 1\n1 2 1 2\n",
    ]
    assert len({rank.pod_uid for rank in ranks(world, spec)}) == 2
    wait_until(lambda: removed(world, spec))
    world.executor.list()
    wait_until(lambda: not world.admin.pods(world.namespace, spec.attempt))
    wait_until(lambda: not world.admin.core.list_namespaced_service(world.namespace).items)


def test_a_rank_that_fails_ends_the_others_and_its_cause_is_the_attempts(world: KubernetesWorld) -> None:
    spec = world.spec(ONE_FAILS, resources=several(2))
    world.executor.submit(spec)
    seen = until_over(world, spec.attempt)
    assert (seen.phase, seen.rank) == (Phase.FINISHED, 1)
    assert seen.exit
    assert seen.exit.exit_code == 3
    assert seen.diagnosis
    assert (seen.diagnosis.code, seen.diagnosis.is_retriable) == ("rank_failed", False)
    assert "rank 1" in seen.diagnosis.summary
    logs = until_reported(world, spec)
    numbers = "".join(f"{number}\n" for number in range(1, 20001))
    assert logs == [b"rank 0 begins\n", f"rank 1 begins\n{numbers}the cause\n".encode()]


def test_a_rank_whose_pod_is_taken_away_loses_the_attempt(world: KubernetesWorld) -> None:
    spec = world.spec("echo ready; while :; do sleep 0.1; done", resources=several(2))
    world.executor.submit(spec)
    wait_until(lambda: all(rank.log for rank in ranks(world, spec)))
    assert world.executor.inspect(spec.attempt).phase is Phase.RUNNING
    pods = world.admin.pods(world.namespace, spec.attempt)
    name = next(pod.metadata.name for pod in pods if pod.metadata.annotations[RANK] == "1")
    world.admin.core.create_namespaced_pod_eviction(name, world.namespace, {"metadata": {"name": name}})
    seen = until_over(world, spec.attempt)
    assert seen.diagnosis
    assert (seen.rank, seen.diagnosis.code, seen.diagnosis.is_retriable) == (1, "drained", True)
    assert until_reported(world, spec) == [b"ready\n", b"ready\n"]


def test_cancelling_ends_every_rank(world: KubernetesWorld) -> None:
    spec = world.spec("echo ready; while :; do sleep 0.1; done", resources=several(2))
    world.executor.submit(spec)
    wait_until(lambda: all(rank.log for rank in ranks(world, spec)))
    world.executor.cancel(spec.attempt)
    assert until_over(world, spec.attempt).reason == "cancelled"
    until_reported(world, spec)
    wait_until(lambda: not world.admin.pods(world.namespace, spec.attempt))
