"""What a pool's nodes have is read from nodes and pods as the cluster writes them."""

from typing import Any

import pytest

from services.core.pools import Pool, Pools, Toleration
from services.worker.executors import Room
from services.worker.executors.kubernetes.rooms import is_of, rooms_of
from services.worker.executors.kubernetes.trimming import trim_node, trim_pod

GPU = "nvidia.com/gpu"
A100 = Pool(
    name="a100",
    gpus_per_node=8,
    node_selector={"pool": "a100"},
    tolerations=(Toleration(key=GPU, operator="Exists", effect="NoSchedule"),),
)


def node(name: str = "n1", *, gpus: int = 8, cpu: str = "96", pool: str = "a100", **spec: Any) -> dict[str, Any]:
    taints = [{"key": GPU, "value": "present", "effect": "NoSchedule"}] if gpus else []
    return trim_node(
        {
            "metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": {"pool": pool}, "generation": 1},
            "spec": {"taints": taints, "podCIDR": "10.0.0.0/24", **spec},
            "status": {
                "allocatable": {"cpu": cpu, "memory": "1000Gi", **({GPU: str(gpus)} if gpus else {})},
                "conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
            },
        }
    )


def pod(on: str | None = "n1", gpus: int = 1, cpu: str = "500m", phase: str = "Running") -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": "1Gi", **({GPU: str(gpus)} if gpus else {})}
    containers = [{"name": "main", "image": "i", "resources": {"requests": requests}}]
    spec = {"containers": containers, **({"nodeName": on} if on else {})}
    return trim_pod(
        {"metadata": {"name": "p", "uid": "p", "resourceVersion": "1"}, "spec": spec, "status": {"phase": phase}}
    )


def test_what_pods_hold_is_not_free() -> None:
    pools = Pools(pools=(A100, Pool(name="cpu", node_selector={"pool": "cpu"})))
    nodes = [node("n1"), node("n2"), node("n3", gpus=0, cpu="3920m", pool="cpu")]
    pods = [
        pod("n1", gpus=3),
        pod("n2", gpus=8, cpu="2"),
        pod("n2", gpus=8, phase="Succeeded"),
        pod(None, gpus=8, phase="Pending"),
        pod("n3", gpus=0),
    ]
    assert rooms_of(pools, nodes, pods) == [
        Room(name="a100", nodes=2, gpus=16, gpus_free=5, cores=192.0, cores_free=189.5),
        Room(name="cpu", nodes=1, cores=3.92, cores_free=3.42),
    ]


def test_a_pool_without_nodes_has_nothing() -> None:
    [room] = rooms_of(Pools(pools=(A100,)), [], [pod()])
    assert room == Room(name="a100", nodes=0, gpus=0, gpus_free=0, cores=0.0, cores_free=0.0)


@pytest.mark.parametrize(
    "other",
    [
        node(pool="h100"),
        node(gpus=0),
        node(unschedulable=True),
        node(taints=[{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]),
        node(taints=[{"key": GPU, "value": "present", "effect": "NoExecute"}]),
        {**node(), "status": {"allocatable": {GPU: "8"}, "conditions": [{"type": "Ready", "status": "Unknown"}]}},
    ],
)
def test_a_node_that_takes_no_pod_of_the_pool_is_not_counted(other: dict[str, Any]) -> None:
    assert is_of(node(), A100)
    assert not is_of(other, A100)


def test_a_taint_that_only_prefers_others_keeps_nobody_out() -> None:
    assert is_of(node(taints=[{"key": "busy", "effect": "PreferNoSchedule"}]), A100)


@pytest.mark.parametrize(
    ("toleration", "is_in"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration(key="team", value="vision"), True),
        (Toleration(key="team", value="vision", effect="NoSchedule"), True),
        (Toleration(key="team", value="speech"), False),
        (Toleration(key="other", operator="Exists"), False),
        (Toleration(key="team", operator="Exists", effect="NoExecute"), False),
    ],
)
def test_a_toleration_is_read_as_kubernetes_reads_it(toleration: Toleration, is_in: bool) -> None:
    tainted = node(taints=[{"key": "team", "value": "vision", "effect": "NoSchedule"}])
    assert is_of(tainted, A100.model_copy(update={"tolerations": (toleration,)})) is is_in
