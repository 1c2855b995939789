"""Cancelling at every stage, controllers that die at every line, and what all of it costs the API server."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.core.errors import Conflict
from services.core.pools import Pool, Pools
from services.core.records import Stage
from services.core.resources import Resources
from services.worker.executors import AttemptBusy, AttemptSpec, Held, Phase
from services.worker.executors.kubernetes.client import connect
from services.worker.executors.kubernetes.executor import KubernetesExecutor
from services.worker.executors.kubernetes.manifest import PodTerms
from services.worker.executors.kubernetes.metrics import Metrics
from services.worker.executors.kubernetes.valves import Limits
from tests.cluster.admin import RUNNER_IMAGE, SHELL_IMAGE
from tests.cluster.world import SMALL, KubernetesWorld, wait_until
from tests.runner.ingest import TOKEN
from tests.worker.executors.contract import ENDLESS, until, until_over, until_said, until_settled

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

REPOSITORY = str(Path(__file__).parents[2])
SUBMITTER = """
import os, signal, sys
from pathlib import Path
from pydantic import SecretStr
from services.core import faults
from services.core.pools import Pools
from services.core.resources import Resources
from services.core.workspace import EMPTY
from services.worker.executors import AttemptSpec
from services.worker.executors.kubernetes.client import connect
from services.worker.executors.kubernetes.executor import KubernetesExecutor
from services.worker.executors.kubernetes.manifest import PodTerms
from services.worker.executors.kubernetes.metrics import Metrics
from services.worker.executors.kubernetes.valves import Limits

kubeconfig, namespace, runner, shell, attempt, run, url, token, script, boundary, nodes = sys.argv[1:]
faults.install(lambda name: name == boundary and os.kill(os.getpid(), signal.SIGKILL))
metrics = Metrics()
cluster = connect(Path(kubeconfig), namespace, metrics.requests)
terms = PodTerms(runner_image=runner, image=shell, disk_bytes=2 << 30)
executor = KubernetesExecutor(cluster, Pools.local(), terms, Limits(), metrics)
executor.start()
executor.submit(AttemptSpec(
    attempt=attempt, run=run, step="train", number=1, tenant="acme", command=("sh", "-c", script), snapshot=EMPTY,
    deadline_seconds=300, grace_seconds=5, api_url=url, token=SecretStr(token), pool="local",
    resources=Resources(cpu=0.02, memory=96 << 20, nodes=int(nodes)),
))
"""


@pytest.mark.parametrize(
    ("boundary", "nodes"),
    [("executor.job_created", 1), ("executor.secret_created", 1), ("executor.service_created", 2)],
)
def test_a_controller_killed_while_it_submits_is_continued_by_the_next(
    world: KubernetesWorld, boundary: str, nodes: int
) -> None:
    spec = world.spec("echo ran", resources=SMALL.model_copy(update={"nodes": nodes}))
    assert submit_from_another_process(world, spec, boundary) == -signal.SIGKILL
    seen = until(world, spec.attempt, lambda seen: seen.phase is not Phase.ABSENT)
    assert not seen.tended or boundary == "executor.secret_created"
    world.executor.submit(spec)
    ranks = [spec.attempt] if nodes == 1 else [f"{spec.attempt}.{rank}" for rank in range(nodes)]
    assert [until_settled(world, rank).log for rank in ranks] == [b"ran\n"] * nodes
    assert len(world.admin.pods(world.namespace, spec.attempt)) == nodes


def submit_from_another_process(world: KubernetesWorld, spec: AttemptSpec, boundary: str) -> int:
    """Submit from a process that is killed when it reaches `boundary`."""
    places = [str(world.kubeconfig), world.namespace, RUNNER_IMAGE, SHELL_IMAGE]
    work = [spec.attempt, spec.run, spec.api_url, TOKEN, spec.command[2], boundary]
    work.append(str(spec.resources.nodes))
    command = [sys.executable, "-c", SUBMITTER, *places, *work]
    return subprocess.run(command, env={"PYTHONPATH": REPOSITORY}, timeout=60).returncode


def test_an_attempt_cancelled_before_it_has_a_pod_never_runs(world: KubernetesWorld) -> None:
    spec = world.spec("echo ran")
    world.executor.submit(spec)
    world.executor.cancel(spec.attempt)
    assert until_over(world, spec.attempt).reason == "cancelled"
    assert not world.kept(spec.attempt).log


def test_an_attempt_that_no_node_can_hold_is_cancelled_at_once(world: KubernetesWorld) -> None:
    spec = world.spec("echo ran", resources=Resources(cpu=500))
    world.executor.submit(spec)
    seen = until(world, spec.attempt, lambda seen: "cpu" in seen.detail)
    assert (seen.phase, seen.stage) == (Phase.STARTING, Stage.SCHEDULING)
    world.executor.cancel(spec.attempt)
    assert until_over(world, spec.attempt).reason == "cancelled"


def test_cancel_reaches_the_program_within_three_seconds(world: KubernetesWorld) -> None:
    spec = world.spec("trap 'echo stopped; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    world.executor.submit(spec)
    until_said(world, spec.attempt, b"ready")
    began = time.monotonic()
    world.executor.cancel(spec.attempt)
    until_said(world, spec.attempt, b"stopped")
    assert time.monotonic() - began < 3
    assert until_over(world, spec.attempt).phase is Phase.FINISHED


def test_a_cancelled_program_whose_node_ignores_it_is_forced_off(world: KubernetesWorld) -> None:
    spec = world.spec(ENDLESS)
    world.executor.submit(spec)
    until_said(world, spec.attempt, b"ready")
    # As if the pod's end had been asked for long ago.
    world.executor.cancel(spec.attempt)
    world.executor._stopping.force(spec.attempt, 0.0)
    wait_until(lambda: not world.admin.pods(world.namespace, spec.attempt))
    assert until_over(world, spec.attempt).reason == "cancelled"


def test_a_job_of_a_queue_waits_suspended_and_is_cancelled_there(world: KubernetesWorld) -> None:
    pools = Pools(pools=(Pool(name="local", queue="team"),))
    metrics = Metrics()
    terms = PodTerms(runner_image=RUNNER_IMAGE, image=SHELL_IMAGE)
    cluster = connect(world.kubeconfig, world.namespace, metrics.requests)
    executor = KubernetesExecutor(cluster, pools, terms, Limits(), metrics)
    executor.start()
    spec = world.spec("echo ran")
    executor.submit(spec)
    wait_until(lambda: executor.inspect(spec.attempt).stage is Stage.QUEUED)
    assert executor.inspect(spec.attempt).phase is Phase.STARTING
    assert not world.admin.pods(world.namespace, spec.attempt)
    # As Kueue does when there is room.
    world.admin.batch.patch_namespaced_job(spec.attempt, world.namespace, {"spec": {"suspend": False}})
    assert until_settled(world, spec.attempt).log == b"ran\n"
    waits = world.spec("echo ran")
    executor.submit(waits)
    executor.cancel(waits.attempt)
    wait_until(lambda: executor.inspect(waits.attempt).phase is Phase.ABSENT)
    executor.stop()


def test_a_full_valve_holds_the_attempt_and_says_why(world: KubernetesWorld) -> None:
    executor = world.another_executor(limits=Limits(in_flight_per_tenant=1))
    first, second, third = world.spec(ENDLESS), world.spec("echo ran"), world.spec("echo ran", tenant="other")
    executor.submit(first)
    with pytest.raises(Held):
        executor.submit(second)
    seen = executor.inspect(second.attempt)
    assert (seen.phase, seen.tended, seen.stage) == (Phase.STARTING, False, Stage.QUEUED)
    assert "1 is the most for one" in seen.detail
    executor.submit(third)
    executor.cancel(first.attempt)

    def is_taken() -> bool:
        try:
            executor.submit(second)
        except Held:
            return False
        return True

    wait_until(is_taken)
    assert until_settled(world, second.attempt).log == b"ran\n"


def test_an_attempt_costs_two_requests_and_its_removal_next_to_none(world: KubernetesWorld) -> None:
    specs = [world.spec("true") for _ in range(8)]
    assert world.executor.list() == []
    before = asked(world)
    for spec in specs:
        world.executor.submit(spec)
    for spec in specs:
        until_over(world, spec.attempt)
        until_settled(world, spec.attempt)
        world.executor.submit(spec)
    assert asked(world) - before == 2 * len(specs)
    for spec in specs:
        wait_until(lambda spec=spec: removed(world, spec.attempt))
    world.executor.list()
    assert asked(world) - before <= 2 * len(specs) + 1 + len(specs) // 25
    wait_until(lambda: not world.admin.batch.list_namespaced_job(world.namespace).items)


def test_a_name_that_does_other_work_is_not_adopted(world: KubernetesWorld) -> None:
    spec = world.spec(ENDLESS)
    world.executor.submit(spec)
    other = world.spec("echo other", attempt=spec.attempt)
    with pytest.raises(Conflict):
        world.another_executor().submit(other)


def asked(world: KubernetesWorld) -> float:
    """Requests so far, without the watches and their lists."""
    samples = [sample for family in world.metrics.requests.collect() for sample in family.samples]
    return sum(one.value for one in samples if one.name.endswith("_total") and one.labels["verb"] != "GET")


def removed(world: KubernetesWorld, attempt: str) -> bool:
    try:
        world.executor.remove(attempt)
    except AttemptBusy:
        return False
    return True
