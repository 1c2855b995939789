"""What a real cluster says of attempts that do not get to run, and what is made of it."""

from typing import Any

import pytest

from services.core.records import Diagnosis, Stage
from services.core.resources import Resources
from services.worker.executors import AttemptSpec, Observed, Phase
from tests.cluster.world import KubernetesWorld
from tests.worker.executors.contract import ENDLESS, until, until_over

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


def until_diagnosed(world: KubernetesWorld, spec: AttemptSpec) -> tuple[Observed, Diagnosis]:
    seen = until(world, spec.attempt, lambda seen: seen.diagnosis is not None)
    assert seen.diagnosis is not None
    return seen, seen.diagnosis


def submitted(world: KubernetesWorld, **resources: Any) -> AttemptSpec:
    spec = world.spec(ENDLESS, resources=Resources(cpu=0.02, **{"memory": 64 << 20, **resources}))
    world.executor.submit(spec)
    return spec


def test_a_name_that_no_image_can_have_is_final_at_once(world: KubernetesWorld) -> None:
    seen, found = until_diagnosed(world, submitted(world, image="Team/Train::1"))

    assert (found.code, found.is_final, found.is_retriable) == ("image_invalid", True, False)
    assert (seen.phase, seen.stage) == (Phase.STARTING, Stage.PULLING)


def test_a_registry_that_is_away_is_waited_for(world: KubernetesWorld) -> None:
    seen, found = until_diagnosed(world, submitted(world, image="127.0.0.1:15999/team/train:1"))

    assert (found.code, found.is_final, found.is_retriable) == ("registry_unreachable", False, True)
    assert (seen.stage, seen.detail) == (Stage.PULLING, found.summary)


def test_a_step_that_no_node_can_hold_is_told_what_it_asks_too_much_of(world: KubernetesWorld) -> None:
    seen, found = until_diagnosed(world, submitted(world, memory=1 << 50))

    assert (found.code, seen.stage) == ("impossible_request", Stage.SCHEDULING)
    assert seen.detail.startswith("0/") and seen.detail.endswith("insufficient memory")


def test_a_namespace_without_quota_left_holds_the_step_back(world: KubernetesWorld) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"requests.memory": "1Mi"}}}
    world.admin.core.create_namespaced_resource_quota(world.namespace, quota)

    seen, found = until_diagnosed(world, submitted(world))

    assert (found.code, found.is_final, seen.stage) == ("quota_exceeded", False, Stage.ADMITTED)
    world.admin.core.delete_namespaced_resource_quota("none", world.namespace)


def test_an_attempt_that_is_well_has_stages_and_no_diagnosis(world: KubernetesWorld) -> None:
    spec = world.spec("echo ready; sleep 1")
    world.executor.submit(spec)
    running = until(world, spec.attempt, lambda seen: seen.stage is Stage.RUNNING)
    assert running.detail.startswith("on node ")

    over = until_over(world, spec.attempt)

    assert (over.diagnosis, over.stage) == (None, Stage.FINISHING)
