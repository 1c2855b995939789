"""Who may reach whom, for every pair of parts, a training pod, a rank, a sandbox, and what is outside."""

from dataclasses import replace
from itertools import product

import pytest

from services.core.pools import Pool
from services.core.resources import Resources
from services.worker.executors.kubernetes.manifest import RANK, job
from tests.deploy.chart import NAMESPACE, STEPS, named, namespace_of, of_kind, pods
from tests.deploy.reach import End, may_reach
from tests.worker.executors.kubernetes.test_manifest import SPEC, TERMS

REDIS, API, MODEL, TRACES, DNS = 6379, 8470, 8100, 4318, 53
METRICS = {"worker": 9470, "controller": 9471}
PORTS = (REDIS, API, MODEL, TRACES, DNS, 443, 6443, *METRICS.values(), 22)


def step_labels(step: str) -> dict[str, str]:
    labels: dict[str, str] = job(replace(SPEC, step=step), Pool(name="cpu"), TERMS)["spec"]["template"]["metadata"][
        "labels"
    ]
    return labels


def everybody(variant: str) -> dict[str, End]:
    ends = {}
    for part, pod in pods(variant):
        ports = {
            port["name"]: port["containerPort"] for one in pod["spec"]["containers"] for port in one.get("ports", [])
        }
        ends[part] = End(part, NAMESPACE, pod["metadata"]["labels"], ports)
    ends["training"] = End("training", STEPS, step_labels("train"))
    ends["sandbox"] = End("sandbox", STEPS, step_labels("sandbox"))
    for rank in ("0", "1"):
        ends[f"rank {rank}"] = End(f"rank {rank}", STEPS, {**step_labels("wide"), RANK: rank})
    ends["dns"] = End("dns", "kube-system", {"k8s-app": "kube-dns"})
    ends["prometheus"] = End("prometheus", "monitoring", {})
    ends["ingress controller"] = End("ingress controller", "ingress", {})
    ends["a stranger"] = End("a stranger", "elsewhere", {})
    ends["a neighbour"] = End("a neighbour", NAMESPACE, {"app": "other"})
    ends["the internet"] = End("the internet", address="198.51.100.7")
    ends["a mirror"] = End("a mirror", address="203.0.113.9")
    ends["metadata"] = End("metadata", address="169.254.169.254")
    ends["a machine inside"] = End("a machine inside", address="10.0.0.9")
    return ends


def reached(variant: str) -> set[tuple[str, str, int]]:
    """Every way that one of ours may go, or may be come to, over TCP."""
    policies = [
        {**body, "metadata": {**body["metadata"], "namespace": namespace_of(body)}}
        for body in of_kind(variant, "NetworkPolicy")
    ]
    ends = everybody(variant)
    ours = {name for name, end in ends.items() if end.namespace in (NAMESPACE, STEPS)} - {"a neighbour"}
    return {
        (one.name, other.name, port)
        for (one, other), port in product(product(ends.values(), ends.values()), PORTS)
        if one is not other and {one.name, other.name} & ours and may_reach(policies, one, other, port)
    }


STATEFUL = ("api", "worker", "controller")
INSTEPS = ("training", "sandbox", "rank 0", "rank 1")
NAMED = {(one, "dns", DNS) for one in (*STATEFUL, "smoke", *INSTEPS)}
INGEST = {(one, "api", API) for one in (*INSTEPS, "smoke")}
BETWEEN_RANKS = {(one, other, port) for one, other in (("rank 0", "rank 1"), ("rank 1", "rank 0")) for port in PORTS}
# A rule without `to`: whoever listens there. Nobody of ours does, but for those whose own policies say no.
ANYBODY = (
    "dns",
    "prometheus",
    "ingress controller",
    "a stranger",
    "a neighbour",
    "the internet",
    "a mirror",
    "metadata",
)
KUBERNETES = {("controller", to, port) for to in (*ANYBODY, "a machine inside") for port in (443, 6443)}


def test_by_default_nothing_is_reached_that_is_not_needed() -> None:
    assert reached("default") == {
        *NAMED,
        *INGEST,
        *BETWEEN_RANKS,
        *KUBERNETES,
        *((one, "redis", REDIS) for one in STATEFUL),
        *(("worker", to, 443) for to in ("the internet", "a mirror")),
    }


def test_what_an_operator_opens_is_open_and_nothing_else() -> None:
    assert reached("on") - reached("default") == {
        ("worker", "scripted-model", MODEL),
        ("ingress controller", "api", API),
        ("prometheus", "api", API),
        *(("prometheus", part, port) for part, port in METRICS.items()),
        *((one, "a mirror", 443) for one in INSTEPS),
        *((one, to, TRACES) for one in STATEFUL for to in (*ANYBODY, "a machine inside")),
    }
    assert reached("default") <= reached("on")


def test_a_redis_and_a_store_elsewhere_are_reached_by_the_services_and_never_by_a_step() -> None:
    ways = reached("outside")
    for part in STATEFUL:
        assert (part, "the internet", REDIS) in ways and (part, "the internet", 443) in ways
    steps = {way for way in ways if way[0] in INSTEPS} - NAMED - INGEST - BETWEEN_RANKS
    assert steps == set()


@pytest.mark.parametrize("variant", ["default", "on", "outside"])
def test_no_step_ever_reaches_redis_a_worker_or_the_clouds_metadata(variant: str) -> None:
    barred = {"redis", "worker", "controller", "scripted-model", "metadata"}
    assert {way for way in reached(variant) if way[0] in INSTEPS and way[1] in barred} == set()
    assert {way for way in reached(variant) if way[0] in {"a stranger", "a neighbour"}} == set()


def test_every_namespace_of_ours_is_closed_first() -> None:
    assert named("default", "NetworkPolicy", "cohort-closed")["spec"].keys() == {"podSelector", "policyTypes"}
    assert named("default", "NetworkPolicy", "cohort-steps")["spec"]["podSelector"] == {}


def test_the_pods_of_a_step_on_several_nodes_bear_what_the_policy_selects() -> None:
    # Kubernetes gives it to the pods of an Indexed Job, as a label since 1.28.
    spec = replace(SPEC, resources=Resources(nodes=2))
    assert job(spec, Pool(name="cpu"), TERMS)["spec"]["completionMode"] == "Indexed"
    [rank] = named("default", "NetworkPolicy", "cohort-ranks")["spec"]["podSelector"]["matchExpressions"]
    assert rank == {"key": RANK, "operator": "Exists"}
