"""How programs and pods end on a real kubelet, whoever ends them."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from starlette.responses import Response

from services.core.resources import Resources
from services.worker.controller.rescue import missing_of
from services.worker.executors import Observed, Phase
from tests.cluster.world import KubernetesWorld, wait_until
from tests.worker.executors.contract import ENDLESS, until, until_over, until_said, until_settled

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


def test_a_program_over_its_memory_limit_is_killed_and_the_sidecar_ships_its_log(world: KubernetesWorld) -> None:
    hungry = "echo begun; head -c 300m /dev/zero | tail"
    spec = world.spec(hungry, resources=Resources(cpu=0.02, memory=64 << 20))
    world.executor.submit(spec)
    wait_until(lambda: world.executor.inspect(spec.attempt).phase.is_over, timeout=150)
    seen = world.executor.inspect(spec.attempt)
    assert seen.exit
    assert seen.phase is Phase.FINISHED
    assert seen.exit.exit_code == 137
    assert cause(seen) == ("oom_container", False)
    assert until_settled(world, spec.attempt).log.startswith(b"begun\n")


def test_a_program_that_fills_its_disk_is_evicted(world: KubernetesWorld) -> None:
    executor = world.another_executor(disk_bytes=64 << 20)
    spec = world.spec(f"head -c 600m /dev/zero > big; {ENDLESS}")
    executor.submit(spec)
    # The kubelet measures volumes once a minute.
    wait_until(lambda: world.executor.inspect(spec.attempt).phase.is_over, timeout=150)
    seen = world.executor.inspect(spec.attempt)
    assert world.pod(spec.attempt).status.reason == "Evicted"
    assert cause(seen) == ("evicted_storage", False)


def test_an_image_that_is_not_there_leaves_the_attempt_starting_until_it_is_cancelled(world: KubernetesWorld) -> None:
    spec = world.spec("true", resources=Resources(cpu=0.02, image="127.0.0.1:15000/nowhere:1"))
    world.executor.submit(spec)
    wait_until(lambda: waiting(world, spec.attempt) in {"ErrImagePull", "ImagePullBackOff"})
    assert world.executor.inspect(spec.attempt).phase is Phase.STARTING
    world.executor.cancel(spec.attempt)
    assert until_over(world, spec.attempt).reason == "cancelled"
    wait_until(lambda: not world.admin.pods(world.namespace, spec.attempt))


def test_a_missing_secret_is_given_again(world: KubernetesWorld) -> None:
    """As after a controller that died between the Job and its Secret."""
    spec = world.spec("echo ran")
    executor = world.another_executor()
    executor._give_token = lambda *_: None  # type: ignore[method-assign]
    executor.submit(spec)
    seen = until(world, spec.attempt, lambda seen: seen.phase is Phase.STARTING)
    assert not seen.tended
    world.executor.submit(spec)
    assert world.executor.inspect(spec.attempt).tended
    assert until_settled(world, spec.attempt).log == b"ran\n"


def test_kubectl_delete_pod_loses_the_attempt_and_no_second_pod_comes(world: KubernetesWorld) -> None:
    spec = world.spec(ENDLESS)
    world.executor.submit(spec)
    until_said(world, spec.attempt, b"ready")
    world.admin.core.delete_namespaced_pod(world.pod(spec.attempt).metadata.name, world.namespace)
    assert cause(until_over(world, spec.attempt)) == ("pod_deleted", True)
    wait_until(lambda: not world.admin.pods(world.namespace, spec.attempt))
    job = world.admin.batch.read_namespaced_job(spec.attempt, world.namespace)
    assert not job.status.active
    assert until_settled(world, spec.attempt).log == b"ready\n"


def test_an_evicted_pod_as_in_a_drain_loses_the_attempt(world: KubernetesWorld) -> None:
    spec = world.spec("trap 'echo saving; exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    world.executor.submit(spec)
    until_said(world, spec.attempt, b"ready")
    name = world.pod(spec.attempt).metadata.name
    world.admin.core.create_namespaced_pod_eviction(name, world.namespace, {"metadata": {"name": name}})
    assert cause(until_over(world, spec.attempt)) == ("drained", True)
    assert until_settled(world, spec.attempt).log.endswith(b"saving\n")


def test_a_pod_deleted_by_force_loses_the_attempt(world: KubernetesWorld) -> None:
    spec = world.spec(ENDLESS)
    world.executor.submit(spec)
    until_said(world, spec.attempt, b"ready")
    name = world.pod(spec.attempt).metadata.name
    world.admin.core.delete_namespaced_pod(name, world.namespace, grace_period_seconds=0)
    assert cause(until_over(world, spec.attempt)) == ("pod_deleted", True)


def test_a_job_deleted_by_hand_takes_its_pod_with_it_and_the_attempt_is_lost(world: KubernetesWorld) -> None:
    spec = world.spec(ENDLESS)
    world.executor.submit(spec)
    until_said(world, spec.attempt, b"ready")
    world.admin.batch.delete_namespaced_job(spec.attempt, world.namespace, propagation_policy="Background")
    assert cause(until_over(world, spec.attempt)) == ("pod_deleted", True)
    wait_until(lambda: not world.admin.pods(world.namespace, spec.attempt))
    wait_until(lambda: world.executor.list() == [])
    assert world.executor.inspect(spec.attempt).phase is Phase.ABSENT


def test_an_image_without_a_shell_a_libc_or_a_python_runs(world: KubernetesWorld) -> None:
    spec = world.spec(
        "", command=("/pause", "--help"), resources=Resources(cpu=0.02, image="registry.k8s.io/pause:3.10")
    )
    spec = replace(spec, deadline_seconds=2)
    world.executor.submit(spec)
    assert until_over(world, spec.attempt).reason == "deadline"


def test_300_mb_at_full_speed_arrive_byte_by_byte(world: KubernetesWorld) -> None:
    size = 300_000_000
    spec = world.spec(f"seq 1 40000000 | head -c {size}", resources=Resources(cpu=0.5, memory=256 << 20))
    world.executor.submit(spec)
    wait_until(lambda: world.kept(spec.attempt).accepted, timeout=200)
    log = world.kept(spec.attempt).log
    assert len(log) == size
    wanted = hashlib.sha256()
    for first in range(1, 40_000_001, 1_000_000):
        lines = "\n".join(map(str, range(first, first + 1_000_000))).encode() + b"\n"
        wanted.update(lines[:size])
        size -= min(size, len(lines))
    assert hashlib.sha256(log).hexdigest() == wanted.hexdigest()


def test_a_line_of_5_mb_and_bytes_that_are_no_text_arrive_as_they_are(world: KubernetesWorld) -> None:
    script = "head -c 5000000 /dev/zero | tr '\\0' x; echo; printf '\\000\\377\\376\\n'"
    spec = world.spec(script)
    world.executor.submit(spec)
    assert until_settled(world, spec.attempt).log == b"x" * 5000000 + b"\n\0\xff\xfe\n"


def test_what_a_sidecar_that_died_with_its_program_did_not_ship_is_on_the_node(world: KubernetesWorld) -> None:
    spec = world.spec("echo first; sleep 3; seq 1 20000; printf last")
    world.executor.submit(spec)
    until_said(world, spec.attempt, b"first")
    world.ingest.instead["log"].extend(Response(status_code=503) for _ in range(1000))
    seen = until_over(world, spec.attempt)
    world.kill_sidecar(spec.attempt)
    # The pod is over: nobody starts the sidecar again.
    wait_until(lambda: world.pod(spec.attempt).status.phase in {"Failed", "Succeeded"})
    stored = bytes(world.kept(spec.attempt).log)
    remains = world.executor.remains(spec.attempt)
    assert stored == b"first\n"
    assert remains
    missing = missing_of(remains, len(stored), stored)
    assert stored + missing == b"first\n" + b"".join(b"%d\n" % n for n in range(1, 20001)) + b"last"
    assert seen.exit
    assert seen.exit.bytes == len(stored + missing)


def cause(seen: Observed) -> tuple[str, bool]:
    """What was wrong, and whether the platform tries again."""
    return (seen.diagnosis.code, seen.diagnosis.is_retriable) if seen.diagnosis else ("", False)


def waiting(world: KubernetesWorld, attempt: str) -> str:
    """Why the program's container waits."""
    statuses: list[Any] = world.pod(attempt).status.container_statuses or []
    states = [one.state.waiting for one in statuses if one.state.waiting]
    return states[0].reason if states else ""
