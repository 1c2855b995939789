from pathlib import Path
from typing import Any

import pytest

from services.core.errors import BadRequest
from services.core.pools import Pools, microdollars
from services.core.resources import Resources

FILE = """\
pools:
  - name: cpu
    max_cpu: 16
    max_memory: 64Gi
    price_per_hour: 0.5
  - name: a100-spot
    node_selector: {node.kubernetes.io/instance-type: p4d.24xlarge}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoExecute, tolerationSeconds: 60}]
    gpu_product: NVIDIA A100
    gpu_memory: 40Gi
    gpus_per_node: 8
    nodes: 4
    price_per_hour: 1.25
    spot: true
    queue: gpus
    images: ["ghcr.io/acme/*"]
images: {digest: required}
quota: {gpus: 8, tenants: {research: 32}}
secrets:
  - {name: hub, env: HF_TOKEN, secret: hf-token, key: token, tenants: [research]}
"""


def test_a_file_says_what_pools_there_are(tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_text(FILE)

    pools = Pools.load(path)

    cpu, gpu = pools.pools
    assert (cpu.name, cpu.max_cpu, cpu.max_memory, cpu.gpus_per_node, cpu.spot) == ("cpu", 16, 64 * 2**30, 0, False)
    assert (gpu.gpu_memory, gpu.gpus_per_node, gpu.nodes, gpu.queue) == (40 * 2**30, 8, 4, "gpus")
    assert gpu.tolerations[0].toleration_seconds == 60
    assert (pools.quota.of("research"), pools.quota.of("acme"), pools.images.digest) == (32, 8, "required")
    assert pools.secrets_of(["hub"]) == list(pools.secrets)
    assert (pools.secrets[0].secret, pools.secrets[0].tenants) == ("hf-token", ("research",))
    assert pools.secrets_of(["hub", "lab"]) is None


def pool(**fields: Any) -> dict[str, Any]:
    return {"pools": [{"name": "a", **fields}]}


SECRET = {"name": "hub", "env": "HF_TOKEN", "secret": "hf-token", "key": "token"}


def secrets(**fields: str) -> dict[str, Any]:
    return {**pool(), "secrets": [SECRET | fields]}


@pytest.mark.parametrize(
    ("value", "field", "why"),
    [
        (pool(gpu_per_node=3), "pools.0.gpu_per_node", "no such key; do you mean gpus_per_node?"),
        (pool(colour="red"), "pools.0.colour", "no such key"),
        ({"pools": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}, "pools", "two of them are named a"),
        (pool(price_per_hour=-1), "pools.0.price_per_hour", "greater than or equal to 0"),
        (pool(price_per_hour=float("nan")), "pools.0.price_per_hour", "greater than or equal to 0|finite number"),
        (pool(name="A_1"), "pools.0.name", "should match pattern"),
        (pool(name="a" * 33), "pools.0.name", "should match pattern"),
        (pool(max_memory="lots"), "pools.0.max_memory", "no amount of memory"),
        (pool(max_cpu="-1"), "pools.0.max_cpu", "no number of CPU cores"),
        (pool(gpus_per_node=0.5), "pools.0.gpus_per_node", "valid integer"),
        (pool(gpu_memory="40Gi"), "pools.0", "need gpus_per_node"),
        (pool(nodes=0), "pools.0.nodes", "greater than or equal to 1"),
        (pool(node_selector={"gpu": True}), "pools.0.node_selector.gpu", "valid string"),
        (pool(node_selector={"a b": "c"}), "pools.0.node_selector", "no label"),
        (pool(tolerations=[{"operator": "Exists", "value": "x"}]), "pools.0.tolerations.0", "has no value"),
        (pool(tolerations=[{"key": "a b", "operator": "Exists"}]), "pools.0.tolerations.0", "no taint"),
        (pool(tolerations=[{"key": "gpu", "value": "a b"}]), "pools.0.tolerations.0", "no taint"),
        (pool(tolerations=[{"key": "gpu", "tolerationSeconds": 60}]), "pools.0.tolerations.0", "needs the effect"),
        (pool(queue="My Queue"), "pools.0.queue", "no name of a queue"),
        (pool(gpu_resource="nvidia gpu"), "pools.0.gpu_resource", "should match pattern"),
        ({"pools": []}, "pools", "at least 1 item"),
        ({"pool": []}, "pools", "required"),
        ({**pool(), "quota": {"gpus": -1}}, "quota.gpus", "greater than or equal to 0"),
        ({**pool(), "quota": {"tenants": {"acme": -1}}}, "quota.tenants", "acme: a tenant cannot hold -1 GPUs"),
        (secrets(env="COHORT_KEY"), "secrets.0.env", "COHORT_KEY is Cohort's own"),
        (secrets(env="HF-TOKEN"), "secrets.0.env", "should match pattern"),
        (secrets(secret="HF_Token"), "secrets.0.secret", "should match pattern"),
        (secrets(tenant="a"), "secrets.0.tenant", "do you mean tenants?"),
        ({**pool(), "secrets": [SECRET, SECRET]}, "secrets", "two of them are named hub"),
        ({**pool(), "images": {"digest": "yes"}}, "images.digest", "required"),
        ({**pool(), "runs_images": False}, "pools", "mapping"),
        ([], "pools", "mapping"),
        (None, "pools", "mapping"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_field_and_the_reason(value: Any, field: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why) as refused:
        Pools.read(value)

    assert refused.value.field == field


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pools: [", "this is no YAML"),
        ("pools:\n- name: a\npools:\n- name: b\n", "the key pools is given twice"),
        (
            "pools:\n- name: a\n  prise_per_hour: 1\n",
            "pools.0.prise_per_hour: no such key; do you mean price_per_hour?",
        ),
        ("pools: !!python/object/apply:os.getcwd []", "this is no YAML"),
        ("\x00", "this is no YAML"),
        ("#" * 2**20 + "#", "at most 1048576 bytes"),
    ],
)
def test_the_name_of_the_file_is_in_the_error(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "pools.yaml"
    path.write_text(text)

    with pytest.raises(BadRequest, match=f"pools.yaml: .*{why}"):
        Pools.load(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="nowhere: No such file"):
        Pools.load(tmp_path / "nowhere")


def test_without_a_file_there_is_one_pool_without_gpus() -> None:
    (local,) = Pools.local(1.5).pools

    assert (local.name, local.gpus_per_node, local.nodes, local.price_per_hour) == ("local", 0, 1, 1.5)


@pytest.mark.parametrize(
    ("resources", "dollars"),
    [
        (Resources(), 3),
        (Resources(gpus=1), 3),
        (Resources(gpus=4), 12),
        (Resources(gpus=4, nodes=2), 24),
        (Resources(nodes=2), 6),
    ],
)
def test_an_attempt_costs_the_price_of_each_gpu_on_each_node(resources: Resources, dollars: int) -> None:
    assert microdollars(1.5, resources, 2 * 3600) == dollars * 1_000_000


def test_the_example_in_the_documents_is_a_file_that_loads(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "pools.md"
    path = tmp_path / "pools.yaml"
    path.write_text(page.read_text().split("```yaml\n")[1].split("```")[0])

    assert [pool.name for pool in Pools.load(path).pools] == ["cpu", "a100-spot"]
