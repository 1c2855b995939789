"""What is sent to the cluster for an attempt: valid for every supported version, restricted, and without a secret."""

import json
from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest
from pydantic import SecretStr

from services.core.pools import Pool, Toleration
from services.core.records import FileRef
from services.core.resources import Resources
from services.core.step_secrets import StepSecret
from services.core.workspace import EMPTY
from services.worker.executors import AttemptSpec
from services.worker.executors.kubernetes import manifest
from services.worker.executors.kubernetes.manifest import PodTerms

MINORS = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
TOKEN = "token-that-nobody-else-may-see"
TERMS = PodTerms(runner_image="cohort/runner:1", image="docker.io/library/python:3.11", pull_secrets=("registry",))
CPU = Pool(name="cpu")
SPOT = Pool(
    name="spot",
    node_selector={"cohort.dev/pool": "spot"},
    tolerations=(
        Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule"),
        Toleration(operator="Exists"),
    ),
    gpus_per_node=8,
    gpu_memory=80 << 30,
    spot=True,
    queue="team",
)
SPEC = AttemptSpec(
    attempt="rk3v9x2m4q8aa-train-1",
    run="rk3v9x2m4q8aa",
    step="train",
    number=1,
    tenant="acme",
    command=("sh", "-c", "kill -TERM $$; echo $(HOME) $HOME"),
    snapshot=EMPTY,
    deadline_seconds=1000.5,
    grace_seconds=9.5,
    api_url="http://cohort-api:8470",
    token=SecretStr(TOKEN),
    env={"LEARNING_RATE": "0.1", "PRICE": "$$5 $(HOME)"},
    inputs={"prepare": [FileRef(path="x.csv", sha256="0" * 64, size=3)]},
    pool="cpu",
)
GPUS = replace(
    SPEC, pool="spot", resources=Resources(gpus=2, cpu=7.5, memory=64 << 30, shm=8 << 30, image="a/b@sha256:1")
)
BOX = replace(SPEC, attempt="rk3v9x2m4q8aa-sandbox-1", step="sandbox")
NODES = replace(SPEC, pool="spot", resources=Resources(gpus=8, nodes=4))
EVERY = [(SPEC, CPU), (GPUS, SPOT), (BOX, CPU), (NODES, SPOT)]


def pod_of(spec: AttemptSpec, pool: Pool = CPU) -> dict[str, Any]:
    return dict(manifest.job(spec, pool, TERMS)["spec"]["template"]["spec"])


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in [*pod["containers"], *pod["initContainers"]] if one["name"] == name)


def test_secrets_go_by_reference_and_to_the_program_alone() -> None:
    secrets = (StepSecret(name="hub", env="HF_TOKEN", secret="hf", key="token"),)
    spec = replace(SPEC, secrets=("hub",))
    job = manifest.job(spec, CPU, TERMS, secrets)
    pod = job["spec"]["template"]["spec"]

    reference = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    assert reference in container(pod, "main")["env"]
    for name in ("lay", "runner"):
        assert reference not in container(pod, name)["env"]
    kubernetes_validate.validate(job, MINORS[0], strict=True)
    assert manifest.spec_sha256(spec) != manifest.spec_sha256(SPEC)


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize(("spec", "pool"), EVERY)
def test_every_supported_version_takes_it_strictly(spec: AttemptSpec, pool: Pool, minor: str) -> None:
    kubernetes_validate.validate(manifest.job(spec, pool, TERMS), minor, strict=True)
    kubernetes_validate.validate(manifest.secret(spec, "uid"), minor, strict=True)
    kubernetes_validate.validate(manifest.service(spec, "uid"), minor, strict=True)


@pytest.mark.parametrize(("spec", "pool"), EVERY)
def test_a_job_holds_no_secret_and_only_our_own_containers_see_the_token(spec: AttemptSpec, pool: Pool) -> None:
    assert TOKEN not in json.dumps(manifest.job(spec, pool, TERMS))
    pod = pod_of(spec, pool)
    mounts = {
        one["name"]: {mount["name"] for mount in one["volumeMounts"]}
        for one in [*pod["containers"], *pod["initContainers"]]
    }
    assert {name for name, volumes in mounts.items() if "token" in volumes} == {"lay", "runner"}
    assert "COHORT_API_URL" not in {variable["name"] for variable in container(pod, "main")["env"]}


@pytest.mark.parametrize(("spec", "pool"), EVERY)
def test_a_pod_meets_the_restricted_standard(spec: AttemptSpec, pool: Pool) -> None:
    pod = pod_of(spec, pool)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    for one in [*pod["containers"], *pod["initContainers"]]:
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert {kind for volume in pod["volumes"] for kind in volume} == {"name", "emptyDir", "secret"}


def test_the_cluster_never_runs_an_attempt_twice() -> None:
    spec = manifest.job(SPEC, CPU, TERMS)["spec"]
    assert (spec["backoffLimit"], spec["parallelism"], spec["completions"]) == (0, 1, 1)
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_commands_and_values_reach_the_program_as_they_were_written() -> None:
    main = container(pod_of(SPEC), "main")
    assert main["command"][-3:] == ["sh", "-c", "kill -TERM $$$$; echo $$(HOME) $$HOME"]
    assert {"name": "PRICE", "value": "$$$$5 $$(HOME)"} in main["env"]


def test_what_the_loader_listens_to_goes_past_the_shim_to_the_program() -> None:
    env = {"LD_PRELOAD": "/opt/lib/a $x.so", "LD_LIBRARY_PATH": "/opt/lib", "GLIBC_TUNABLES": "", "OLD_VALUE": "1"}
    main = container(pod_of(replace(SPEC, env=env)), "main")
    options = main["command"][: main["command"].index("--")]
    assert options[-3:] == [
        "--env=LD_PRELOAD=/opt/lib/a $$x.so",
        "--env=LD_LIBRARY_PATH=/opt/lib",
        "--env=GLIBC_TUNABLES=",
    ]
    names = {variable["name"] for variable in main["env"]}
    assert "OLD_VALUE" in names and not names & {"LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES"}


def test_the_shim_runs_the_command_with_its_own_interpreter_and_its_times() -> None:
    command = container(pod_of(SPEC), "main")["command"]
    assert command[:3] == ["/cohort/rt/ld.so", "--library-path", "/cohort/rt/lib"]
    assert command[command.index("--deadline-seconds") + 1] == "1000.5"
    assert command[command.index("--grace-seconds") + 1] == "9.5"


def test_a_pool_says_where_and_a_step_says_how_much() -> None:
    pod = pod_of(GPUS, SPOT)
    assert pod["nodeSelector"] == {"cohort.dev/pool": "spot"}
    assert pod["tolerations"][0] == {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    main = container(pod, "main")
    assert main["image"] == "a/b@sha256:1"
    assert main["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert main["resources"]["limits"]["cpu"] == "7500m"
    assert main["resources"]["requests"]["memory"] == main["resources"]["limits"]["memory"] == str(64 << 30)
    shm = next(volume for volume in pod["volumes"] if volume["name"] == "shm")
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": str(8 << 30)}


def test_a_step_that_says_nothing_gets_what_the_install_gives() -> None:
    main = container(pod_of(SPEC), "main")
    assert main["image"] == TERMS.image
    assert main["resources"]["limits"] == {"memory": str(4 << 30), "ephemeral-storage": str(50 << 30)}
    assert main["resources"]["requests"]["cpu"] == "1000m"


def test_the_sidecar_knows_how_much_memory_its_program_may_use() -> None:
    for spec, memory in ((SPEC, 4 << 30), (GPUS, 64 << 30)):
        sidecar = container(pod_of(spec, SPOT if spec is GPUS else CPU), "runner")
        assert {"name": "COHORT_MEMORY_LIMIT_BYTES", "value": str(memory)} in sidecar["env"]


def test_the_kubelet_waits_for_the_program_and_then_for_its_log() -> None:
    pod = pod_of(SPEC)
    assert pod["terminationGracePeriodSeconds"] == 10 + manifest.DRAIN_SECONDS
    assert pod["activeDeadlineSeconds"] == 1001 + manifest.DEADLINE_SLACK_SECONDS


def test_where_there_is_a_queue_the_job_waits_for_kueue() -> None:
    queued, free = manifest.job(GPUS, SPOT, TERMS), manifest.job(SPEC, CPU, TERMS)
    assert (queued["spec"]["suspend"], queued["metadata"]["labels"][manifest.QUEUE]) == (True, "team")
    assert (free["spec"]["suspend"], manifest.QUEUE in free["metadata"]["labels"]) == (False, False)


def test_a_job_says_whether_its_attempt_may_move_on_to_another_pool() -> None:
    assert manifest.MOVES_ON not in manifest.job(SPEC, CPU, TERMS)["metadata"]["annotations"]
    moving = manifest.job(replace(SPEC, has_another_pool=True), CPU, TERMS)
    assert moving["metadata"]["annotations"][manifest.MOVES_ON] == "true"


def test_capacity_that_is_ours_to_keep_is_not_moved_by_autoscalers() -> None:
    template = manifest.job(SPEC, CPU, TERMS)["spec"]["template"]
    assert template["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
    assert manifest.job(GPUS, SPOT, TERMS)["spec"]["template"]["metadata"]["annotations"] == {}


@pytest.mark.parametrize(
    "changes",
    [{"command": ("true",)}, {"env": {}}, {"snapshot": "other"}, {"inputs": {}}, {"resources": Resources(image="x")}],
)
def test_other_work_has_another_hash(changes: dict[str, Any]) -> None:
    assert manifest.spec_sha256(replace(SPEC, **changes)) != manifest.spec_sha256(SPEC)


def test_the_same_work_has_the_same_hash_whoever_asks_and_when() -> None:
    again = replace(SPEC, token=SecretStr("another"), api_url="http://moved", env=dict(reversed(SPEC.env.items())))
    assert manifest.spec_sha256(again) == manifest.spec_sha256(SPEC)


@pytest.mark.parametrize(
    ("tenant", "label"), [("acme", "acme"), ("Ünï & co.", "n----co"), ("x" * 80, "x" * 63), ("a/b:c", "a-b-c")]
)
def test_any_tenant_has_a_label(tenant: str, label: str) -> None:
    assert manifest.label(tenant) == label


def test_a_sandbox_runs_the_host_and_its_sidecar_alone_has_what_commands_must_not_reach() -> None:
    pod = pod_of(BOX)
    main, runner = container(pod, "main"), container(pod, "runner")
    assert "/cohort/rt/host.py" in main["command"]
    assert "/cohort/rt/host.py" not in container(pod_of(SPEC), "main")["command"]
    mounts = {one["name"]: {mount["name"] for mount in one["volumeMounts"]} for one in (main, runner)}
    assert "private" not in mounts["main"]
    assert {"private", "work"} <= mounts["runner"]
    assert {"name": "COHORT_PRIVATE_DIR", "value": "/cohort/private"} in runner["env"]
    assert {"name": "HOME", "value": "/tmp"} in main["env"]
    assert not {"private"} & {volume["name"] for volume in pod_of(SPEC)["volumes"]}


# --- Several nodes ----------------------------------------------------------------------------------------------------


def variables(spec: AttemptSpec, name: str = "main") -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container(pod_of(spec), name)["env"]}


def test_every_rank_has_a_pod_of_its_own_under_a_name_the_others_know() -> None:
    job, service = manifest.job(NODES, SPOT, TERMS)["spec"], manifest.service(NODES, "uid")
    assert (job["completions"], job["parallelism"], job["completionMode"]) == (4, 4, "Indexed")
    assert job["template"]["spec"]["subdomain"] == service["metadata"]["name"] == NODES.attempt
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= job["template"]["metadata"]["labels"].items()
    assert service["metadata"]["ownerReferences"][0]["kind"] == "Job"
    assert manifest.job(SPEC, CPU, TERMS)["spec"]["completionMode"] == "NonIndexed"


def test_a_rank_reports_under_its_own_name() -> None:
    for name in ("lay", "runner"):
        names = [one["name"] for one in container(pod_of(NODES), name)["env"]]
        # A variable is only put into those that come after it.
        assert names.index("JOB_COMPLETION_INDEX") < names.index("COHORT_ATTEMPT")
        assert variables(NODES, name)["COHORT_ATTEMPT"] == f"{NODES.attempt}.$(JOB_COMPLETION_INDEX)"
        assert variables(SPEC, name)["COHORT_ATTEMPT"] == SPEC.attempt


def test_launchers_find_the_other_nodes() -> None:
    found, address = variables(NODES), f"{NODES.attempt}-0.{NODES.attempt}"
    assert found["NNODES"] == found["PET_NNODES"] == "4"
    assert found["NODE_RANK"] == found["PET_NODE_RANK"] == "$(JOB_COMPLETION_INDEX)"
    assert found["NPROC_PER_NODE"] == found["PET_NPROC_PER_NODE"] == "8"
    assert found["MASTER_ADDR"] == found["PET_MASTER_ADDR"] == address
    assert found["PET_RDZV_ENDPOINT"] == f"{address}:{found['MASTER_PORT']}"
    # Each process has a rank of its own, which its launcher gives it.
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK"} & found.keys()


def test_a_program_with_one_process_a_node_needs_no_launcher() -> None:
    found = variables(replace(NODES, resources=Resources(nodes=4)))
    assert (found["RANK"], found["LOCAL_RANK"], found["WORLD_SIZE"]) == ("$(JOB_COMPLETION_INDEX)", "0", "4")


def test_several_gpus_of_one_node_are_launched_there_and_one_process_needs_nothing() -> None:
    found = variables(GPUS)
    assert (found["PET_NNODES"], found["PET_NPROC_PER_NODE"], found["MASTER_ADDR"]) == ("1", "2", "127.0.0.1")
    assert not {"MASTER_ADDR", "PET_NNODES", "RANK"} & variables(SPEC).keys()


def test_what_a_step_sets_itself_counts() -> None:
    spec = replace(NODES, env={"MASTER_PORT": "1234"})
    names = [one["name"] for one in container(pod_of(spec), "main")["env"]]
    assert names.count("MASTER_PORT") == 1
    assert variables(spec)["MASTER_PORT"] == "1234"


def test_one_node_more_is_other_work() -> None:
    more = replace(NODES, resources=Resources(gpus=8, nodes=5))
    assert manifest.spec_sha256(NODES) != manifest.spec_sha256(more)
