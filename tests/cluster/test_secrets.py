"""Secrets of the operator's, by reference: the kubelet gives them to the program, and nobody else ever has them."""

import json

import pytest

from services.core.pools import Pool, Pools
from services.core.step_secrets import StepSecret
from services.worker.executors import Held, Phase
from tests.cluster.world import KubernetesWorld, wait_until
from tests.worker.executors.contract import until, until_settled

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

POOLS = Pools(
    pools=(Pool(name="local"),), secrets=(StepSecret(name="hub", env="HF_TOKEN", secret="hf-token", key="token"),)
)
VALUE = "value-of-the-secret"


def put(world: KubernetesWorld) -> None:
    body = {"metadata": {"name": "hf-token"}, "stringData": {"token": VALUE}}
    world.admin.core.create_namespaced_secret(world.namespace, body)


def test_a_program_has_the_secret_it_asks_for_and_nothing_shows_it(world: KubernetesWorld) -> None:
    put(world)
    executor = world.another_executor(pools=POOLS)
    spec = world.spec('[ "$HF_TOKEN" = value-of-"the"-secret ] && echo given', secrets=("hub",))
    executor.submit(spec)
    assert until_settled(world, spec.attempt).log == b"given\n"
    job = world.admin.batch.read_namespaced_job(spec.attempt, world.namespace)
    assert VALUE not in json.dumps(world.admin.api.sanitize_for_serialization(job))
    plain = world.spec('echo "<$HF_TOKEN>"')
    executor.submit(plain)
    assert until_settled(world, plain.attempt).log == b"<>\n"


def test_a_secret_that_is_not_there_is_named_and_waited_for(world: KubernetesWorld) -> None:
    executor = world.another_executor(pools=POOLS)
    spec = world.spec("echo ran", secrets=("hub",))
    executor.submit(spec)
    until(world, spec.attempt, lambda seen: 'secret "hf-token"' in seen.detail)
    assert world.executor.inspect(spec.attempt).phase is Phase.STARTING
    put(world)
    assert until_settled(world, spec.attempt).log == b"ran\n"


def test_a_secret_that_is_in_the_pools_file_no_more_holds_the_attempt(world: KubernetesWorld) -> None:
    spec = world.spec("echo ran", secrets=("gone",))
    executor = world.another_executor(pools=POOLS)
    with pytest.raises(Held, match="gone"):
        executor.submit(spec)
    wait_until(lambda: "put it back" in executor.inspect(spec.attempt).detail)
    assert not world.admin.batch.list_namespaced_job(world.namespace).items
