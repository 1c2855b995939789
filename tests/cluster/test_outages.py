"""What stands still for a while: the kubelet, the API server, containerd, the controller. Nothing is lost, nothing is
called lost, nothing runs twice.

CLUSTER_TEST_CONTROL names the program that stops and starts parts of the cluster (`CONTROL stop COMPONENT`), where
there is one.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from services.worker.executors import Phase
from tests.cluster.world import KubernetesWorld, wait_until
from tests.worker.executors.contract import ENDLESS, until, until_over, until_said, until_settled

CONTROL = os.environ.get("CLUSTER_TEST_CONTROL", "")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.outage,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not CONTROL, reason="no part of this cluster can be stopped from here"),
]
Stop = Callable[[str], None]


@pytest.fixture
def stop(world: KubernetesWorld) -> Iterator[Stop]:
    """Stops a component; all that were stopped run again after the test, and the cluster answers."""
    stopped: list[str] = []

    def stop(component: str) -> None:
        stopped.append(component)
        subprocess.run([CONTROL, "stop", component], check=True)

    yield stop
    for component in stopped:
        start(component)
    wait_until(world.admin.is_ready)


def start(component: str) -> None:
    subprocess.run([CONTROL, "start", component], check=True)


def test_an_api_server_away_for_a_minute_makes_attempts_unknown_and_never_lost(
    world: KubernetesWorld, stop: Stop
) -> None:
    spec = world.spec("i=0; while [ $i -lt 50 ]; do echo $i; i=$((i+1)); sleep 0.1; done; echo done; exit 3")
    endless = world.spec(ENDLESS)
    for each in (spec, endless):
        world.executor.submit(each)
    until_said(world, endless.attempt, b"ready")
    stop("apiserver")
    began = time.monotonic()
    until(world, endless.attempt, lambda seen: seen.phase is Phase.UNKNOWN)
    # What runs goes on, and its log arrives.
    assert until_settled(world, spec.attempt).log.endswith(b"done\n")

    def is_over() -> bool:
        assert world.executor.inspect(endless.attempt).phase is Phase.UNKNOWN
        assert world.executor.list() == []
        return time.monotonic() - began > 60

    wait_until(is_over, timeout=120, pause=0.2)
    start("apiserver")
    until(world, endless.attempt, lambda seen: seen.phase is Phase.RUNNING)
    seen = until_over(world, spec.attempt)
    assert seen.exit
    assert (seen.phase, seen.exit.exit_code) == (Phase.FINISHED, 3)


def test_a_controller_that_comes_while_the_api_server_is_away_knows_nothing_yet(
    world: KubernetesWorld, stop: Stop
) -> None:
    spec = world.spec(ENDLESS)
    world.executor.submit(spec)
    until_said(world, spec.attempt, b"ready")
    stop("apiserver")
    other = world.another_executor()
    assert other.inspect(spec.attempt).phase is Phase.UNKNOWN
    assert other.list() == []
    start("apiserver")
    wait_until(lambda: other.inspect(spec.attempt).phase is Phase.RUNNING)


def test_a_kubelet_that_stops_and_comes_back_loses_nothing(world: KubernetesWorld, stop: Stop) -> None:
    spec = world.spec("echo ready; while [ ! -e $COHORT_OUTPUT_DIR/../go ]; do sleep 0.05; done; echo done")
    short = world.spec("echo ready; sleep 1; echo done")
    for each in (spec, short):
        world.executor.submit(each)
    for each in (spec, short):
        until_said(world, each.attempt, b"ready")
    stop("kubelet")
    assert until_said(world, short.attempt, b"done") is None
    assert world.executor.inspect(spec.attempt).phase is Phase.RUNNING
    start("kubelet")
    assert until_over(world, short.attempt).phase is Phase.FINISHED
    world.executor.cancel(spec.attempt)
    assert until_over(world, spec.attempt).reason == "cancelled"


def test_containerd_may_be_restarted_under_a_running_program(world: KubernetesWorld, stop: Stop) -> None:
    spec = world.spec("for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.5; done")
    world.executor.submit(spec)
    until_said(world, spec.attempt, b"2\n")
    stop("containerd")
    start("containerd")
    seen = until_over(world, spec.attempt)
    assert (seen.phase, seen.reason) == (Phase.FINISHED, "exited")
    assert until_settled(world, spec.attempt).log == b"".join(b"%d\n" % n for n in range(1, 11))
