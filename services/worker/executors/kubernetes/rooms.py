"""What the nodes of each pool have, and what of it our pods do not hold. Pure.

Only our own namespace's pods are known: what others run on a node counts as free.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from services.core.pools import Pool, Pools, Toleration
from services.core.quantities import cores_of
from services.worker.executors import Room
from services.worker.executors.kubernetes.reading import is_pod_over

Json = dict[str, Any]

_KEEPS_OUT = frozenset({"NoSchedule", "NoExecute"})


def rooms_of(pools: Pools, nodes: Sequence[Json], pods: Iterable[Json]) -> list[Room]:
    """The room of every pool. `nodes` and `pods` as they are kept by `namespace`."""
    by_node: dict[str, list[Json]] = {}
    for pod in pods:
        if "nodeName" in pod["spec"] and not is_pod_over(pod):
            by_node.setdefault(pod["spec"]["nodeName"], []).append(pod)
    return [_room(pool, [node for node in nodes if is_of(node, pool)], by_node) for pool in pools.pools]


def is_of(node: Json, pool: Pool) -> bool:
    """Whether a pod of the pool may be put on the node now."""
    labels = node["metadata"]["labels"]
    if any(labels.get(name) != value for name, value in pool.node_selector.items()):
        return False
    if pool.gpus_per_node and not _gpus(node, pool):
        return False
    if node["spec"].get("unschedulable") or not any(one["status"] == "True" for one in node["status"]["conditions"]):
        return False
    return all(any(_tolerates(one, taint) for one in pool.tolerations) for taint in _keeping_out(node))


def _room(pool: Pool, nodes: Sequence[Json], by_node: dict[str, list[Json]]) -> Room:
    pods = [pod for node in nodes for pod in by_node.get(node["metadata"]["name"], [])]
    cores = sum(_cores(node["status"]["allocatable"].get("cpu")) for node in nodes)
    held = sum(_cores(_requests(pod).get("cpu")) for pod in pods)
    room = Room(name=pool.name, nodes=len(nodes), cores=round(cores, 3), cores_free=round(max(0.0, cores - held), 3))
    if not pool.gpus_per_node:
        return room
    gpus = sum(_gpus(node, pool) for node in nodes)
    taken = sum(int(_requests(pod).get(pool.gpu_resource, 0)) for pod in pods)
    return room.model_copy(update={"gpus": gpus, "gpus_free": max(0, gpus - taken)})


def _requests(pod: Json) -> Json:
    """What the program's container asks for; the runner beside it asks for next to nothing."""
    found: Json = pod["spec"]["containers"][0]["resources"].get("requests", {})
    return found


def _cores(quantity: object) -> float:
    return 0.0 if quantity in {None, "0"} else cores_of(quantity)


def _gpus(node: Json, pool: Pool) -> int:
    return int(node["status"]["allocatable"].get(pool.gpu_resource, 0))


def _keeping_out(node: Json) -> list[Json]:
    return [taint for taint in node["spec"].get("taints", []) if taint.get("effect") in _KEEPS_OUT]


def _tolerates(toleration: Toleration, taint: Json) -> bool:
    """As Kubernetes decides it: an empty key or effect stands for every one."""
    if toleration.effect and toleration.effect != taint.get("effect"):
        return False
    if toleration.key and toleration.key != taint.get("key"):
        return False
    return toleration.operator == "Exists" or toleration.value == taint.get("value", "")
