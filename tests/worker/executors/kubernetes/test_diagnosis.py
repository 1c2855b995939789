"""The table of what goes wrong in a cluster: what was recorded of it, and what Cohort makes of that."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner
from services.worker.executors.kubernetes.case import Case
from services.worker.executors.kubernetes.diagnosis import diagnose, first_cause
from tests.worker.executors.kubernetes.cases import (
    MIB,
    case_of,
    disrupted,
    ended,
    moment,
    queued,
    scheduled_not,
    suspended,
    told,
    with_pod,
)

HOURS = 3600.0
FULL = (
    "0/4 nodes are available: 1 node(s) had untolerated taint {gpu: a100}, 3 Insufficient nvidia.com/gpu. no new "
    "claims to deallocate, preemption: 0/4 nodes are available: 1 Preemption is not helpful for scheduling, 3 No "
    "preemption victims found for incoming pod."
)
TAINTED = (
    "0/4 nodes are available: 4 node(s) had untolerated taint {gpu: a100}. preemption: 0/4 nodes are available: 4 "
    "Preemption is not helpful for scheduling."
)
LOST_MEMORY = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 40Mi."
DENIED = 'Error creating: admission webhook "gate.example" denied the request: no team label'
PREEMPTED = "Preempted to accommodate a workload (UID: 1, JobUID: 2) due to prioritization in the ClusterQueue"
DISK_PRESSURE = "The node had condition: [DiskPressure]. "


def found_in(case: Case) -> Diagnosis:
    found = diagnose(case)
    assert found is not None
    return found


class Row(NamedTuple):
    """One signal, and what is made of it: at once (`early`), and once it has lasted for `patience` seconds."""

    case: Case
    failure: Failure
    owner: Owner
    code: str
    is_retriable: bool = False
    patience: float = 0.0


def evicted(message: str) -> Case:
    case = case_of("storage_container", 20)
    return ended(with_pod(case, status={"message": message}), None, "shim_lost")


def rejected(reason: str) -> Case:
    return ended(with_pod(case_of("exit_0", 20), status={"phase": "Failed", "reason": reason}), None, "shim_lost")


def lost_node() -> Case:
    """The node controller says of a pod that runs that its node is gone."""
    case = case_of("running", 300)
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": moment(case.now - 300)}
    case = with_pod(case, status={"conditions": [unready]})
    return told(case, "NodeNotReady", "Node is not ready", 300)


def with_runner_image(name: str) -> Case:
    """A pod whose sidecar's image is what a recording's `main` image is."""
    case = case_of(name)
    main = case.main.status
    status = {"initContainerStatuses": [{**main, "name": "lay"}], "containerStatuses": [{**main, "state": {}}]}
    return with_pod(case, status=status)


KILLED = {"exit_code": 137, "reason": "signalled", "signal": 9}
TERMINATED = {"exit_code": 143, "reason": "signalled", "signal": 15}

TABLE = {
    # Before the program runs: the image.
    "invalid image": Row(case_of("image_invalid"), Failure.IMAGE_PULL, Owner.CODE, "image_invalid"),
    "image never pulled": Row(case_of("image_never"), Failure.IMAGE_PULL, Owner.CODE, "image_invalid"),
    "no such image": Row(case_of("image_missing", 2), Failure.IMAGE_PULL, Owner.CODE, "image_not_found", patience=30),
    "registry says 401": Row(case_of("image_private", 2), Failure.IMAGE_PULL, Owner.CODE, "image_auth", patience=30),
    "registry says 403": Row(case_of("image_forbidden", 2), Failure.IMAGE_PULL, Owner.CODE, "image_auth", patience=30),
    "registry says 429": Row(case_of("image_busy", 2), Failure.IMAGE_PULL, Owner.PLATFORM, "registry_busy", True, 600),
    "registry says 503": Row(
        case_of("image_broken", 2), Failure.IMAGE_PULL, Owner.PLATFORM, "registry_failing", True, 600
    ),
    "registry is away": Row(
        case_of("image_refused", 2), Failure.IMAGE_PULL, Owner.PLATFORM, "registry_unreachable", True, 600
    ),
    "Cohort's own image": Row(
        with_runner_image("image_missing"), Failure.IMAGE_PULL, Owner.PLATFORM, "image_not_found", False, 30
    ),
    # The container.
    "no such secret": Row(case_of("config_secret"), Failure.CONFIG, Owner.ACCESS, "config_missing", patience=60),
    "no such configmap": Row(case_of("config_map"), Failure.CONFIG, Owner.ACCESS, "config_missing", patience=60),
    "no such key": Row(case_of("config_key"), Failure.CONFIG, Owner.ACCESS, "config_missing", patience=60),
    "image runs as root": Row(case_of("non_root"), Failure.CONFIG, Owner.CODE, "container_refused", patience=60),
    "secret not mounted": Row(case_of("mount_secret", 5), Failure.CONFIG, Owner.ACCESS, "config_missing", patience=300),
    "volume not mounted": Row(
        case_of("mount_nfs", 5), Failure.UNSCHEDULABLE, Owner.PLATFORM, "volume_not_mounted", True, 300
    ),
    "files not laid out": Row(
        ended(case_of("lay_fails", 9), None, "shim_lost"), Failure.CONFIG, Owner.PLATFORM, "preparation_failed", True
    ),
    # The node.
    "pool is full": Row(
        case_of("resource_full"), Failure.UNSCHEDULABLE, Owner.PLATFORM, "waiting_for_capacity", patience=24 * HOURS
    ),
    "pool is full, others are not": Row(
        case_of("resource_full", has_another_pool=True),
        Failure.UNSCHEDULABLE,
        Owner.PLATFORM,
        "waiting_for_capacity",
        True,
        300,
    ),
    "some nodes are full": Row(
        scheduled_not(case_of("gpu_none"), FULL),
        Failure.UNSCHEDULABLE,
        Owner.PLATFORM,
        "waiting_for_capacity",
        patience=24 * HOURS,
    ),
    "more than any node has": Row(
        case_of("memory_huge"), Failure.UNSCHEDULABLE, Owner.RESOURCES, "impossible_request", patience=120
    ),
    "GPUs nobody has": Row(
        case_of("gpu_none"), Failure.UNSCHEDULABLE, Owner.RESOURCES, "impossible_request", patience=120
    ),
    "wrong selector": Row(case_of("selector"), Failure.UNSCHEDULABLE, Owner.PLATFORM, "unschedulable", patience=120),
    "taint not tolerated": Row(
        scheduled_not(case_of("selector"), TAINTED),
        Failure.UNSCHEDULABLE,
        Owner.PLATFORM,
        "unschedulable",
        patience=120,
    ),
    "claim without a volume": Row(case_of("pvc"), Failure.UNSCHEDULABLE, Owner.PLATFORM, "unschedulable", patience=120),
    # The pod.
    "quota": Row(case_of("quota"), Failure.UNSCHEDULABLE, Owner.PLATFORM, "quota_exceeded", patience=24 * HOURS),
    "pod security": Row(case_of("pod_security"), Failure.UNSCHEDULABLE, Owner.PLATFORM, "pod_denied", patience=60),
    "admission policy": Row(case_of("policy"), Failure.UNSCHEDULABLE, Owner.PLATFORM, "pod_denied", patience=60),
    "webhook says no": Row(
        told(replace(case_of("quota"), events=()), "FailedCreate", DENIED),
        Failure.UNSCHEDULABLE,
        Owner.PLATFORM,
        "pod_denied",
        patience=60,
    ),
    "webhook is away": Row(
        case_of("webhook_away"), Failure.UNSCHEDULABLE, Owner.PLATFORM, "webhook_failing", True, 24 * HOURS
    ),
    # The queue.
    "no such queue": Row(
        queued(case_of("suspended"), reason="Inadmissible", message="LocalQueue gpus doesn't exist"),
        Failure.UNSCHEDULABLE,
        Owner.PLATFORM,
        "queue_closed",
        patience=24 * HOURS,
    ),
    "queue is stopped, other pools are not": Row(
        queued(
            case_of("suspended", has_another_pool=True), reason="Inadmissible", message="ClusterQueue all is stopped"
        ),
        Failure.UNSCHEDULABLE,
        Owner.PLATFORM,
        "queue_closed",
        True,
        300,
    ),
    "Kueue does not look": Row(
        replace(queued(case_of("suspended", 61)), workload={}),
        Failure.UNSCHEDULABLE,
        Owner.PLATFORM,
        "queue_unattended",
        patience=24 * HOURS,
    ),
    # How it ended: the program and its limits.
    "out of memory": Row(ended(case_of("oom", 5), **KILLED), Failure.OUT_OF_MEMORY, Owner.RESOURCES, "oom_container"),
    "a child out of memory": Row(
        ended(case_of("oom_child", 5), 3), Failure.OUT_OF_MEMORY, Owner.RESOURCES, "oom_container"
    ),
    "killed at its limit": Row(
        ended(case_of("exit_3", 5), **KILLED, peaks={"rss_bytes": 63 * MIB}),
        Failure.OUT_OF_MEMORY,
        Owner.RESOURCES,
        "oom_container",
    ),
    "out of memory without a limit": Row(
        with_pod(ended(case_of("oom", 5), **KILLED), spec={"containers": []}),
        Failure.OUT_OF_MEMORY,
        Owner.PLATFORM,
        "oom_node",
        True,
    ),
    "wrote too much": Row(
        ended(case_of("storage_container", 20), None, "shim_lost"),
        Failure.DISK_FULL,
        Owner.RESOURCES,
        "evicted_storage",
    ),
    "filled a volume": Row(
        ended(case_of("storage_emptydir", 20), None, "shim_lost"), Failure.DISK_FULL, Owner.RESOURCES, "evicted_storage"
    ),
    "deadline of the pod": Row(ended(case_of("deadline", 9), **KILLED), Failure.DEADLINE, Owner.RESOURCES, "deadline"),
    "deadline of the shim": Row(
        ended(case_of("exit_3", 9), 143, "deadline", 15), Failure.DEADLINE, Owner.RESOURCES, "deadline"
    ),
    "no such command": Row(
        ended(case_of("exit_3", 9), 127, "start_failed"), Failure.COMMAND_NOT_FOUND, Owner.CODE, "not_started"
    ),
    # The node and the cluster.
    "container not started": Row(
        ended(case_of("not_a_command", 9), 128, "start_failed"),
        Failure.DEVICE_UNAVAILABLE,
        Owner.PLATFORM,
        "container_not_created",
        True,
    ),
    "node short of memory": Row(evicted(LOST_MEMORY), Failure.STOPPED, Owner.PLATFORM, "evicted_pressure", True),
    "node short of disk": Row(evicted(DISK_PRESSURE), Failure.STOPPED, Owner.PLATFORM, "evicted_pressure", True),
    "preempted": Row(ended(case_of("preempted", 9), **TERMINATED), Failure.STOPPED, Owner.PLATFORM, "preempted", True),
    "evicted by the API": Row(ended(case_of("evicted", 9)), Failure.STOPPED, Owner.PLATFORM, "drained", True),
    "taint": Row(
        ended(disrupted(case_of("running", 60), "DeletionByTaintManager"), **TERMINATED),
        Failure.STOPPED,
        Owner.PLATFORM,
        "node_tainted",
        True,
    ),
    "garbage of a lost node": Row(
        disrupted(case_of("running", 60), "DeletionByPodGC"), Failure.STOPPED, Owner.PLATFORM, "node_lost", True
    ),
    "node shuts down": Row(
        disrupted(case_of("running", 60), "TerminationByKubelet"),
        Failure.STOPPED,
        Owner.PLATFORM,
        "node_pressure",
        True,
    ),
    "node has shut down": Row(rejected("Terminated"), Failure.STOPPED, Owner.PLATFORM, "node_shutdown", True),
    "node refuses the pod": Row(rejected("OutOfnvidia.com/gpu"), Failure.STOPPED, Owner.PLATFORM, "pod_rejected", True),
    "node does not answer": Row(lost_node(), Failure.STOPPED, Owner.PLATFORM, "node_lost", True),
    "pod deleted": Row(ended(case_of("deleted", 60), **KILLED), Failure.STOPPED, Owner.PLATFORM, "pod_deleted", True),
    "pod deleted and gone": Row(
        replace(case_of("running", 60), is_pod_gone=True), Failure.STOPPED, Owner.PLATFORM, "pod_deleted", True
    ),
    "put off by Kueue": Row(
        ended(suspended(queued(told(case_of("running", 60), "Stopped", PREEMPTED))), **TERMINATED),
        Failure.STOPPED,
        Owner.PLATFORM,
        "suspended",
        True,
    ),
    "Job suspended by hand": Row(
        ended(suspended(case_of("running", 60)), **TERMINATED), Failure.STOPPED, Owner.PLATFORM, "suspended", True
    ),
    "killed from outside": Row(
        ended(case_of("exit_143", 9), **TERMINATED), Failure.STOPPED, Owner.PLATFORM, "killed_externally", True
    ),
    "a shell around what was killed": Row(
        ended(case_of("exit_143", 9), 143), Failure.STOPPED, Owner.PLATFORM, "killed_externally", True
    ),
    "exit code 0 and no record": Row(
        ended(case_of("exit_0", 9), None, "shim_lost"), Failure.STOPPED, Owner.PLATFORM, "exit_lost", True
    ),
    "pod gone with its Job failed": Row(
        case_of("preempted_gone", 20), Failure.STOPPED, Owner.PLATFORM, "pod_lost", True
    ),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_a_signal_has_its_diagnosis(row: Row) -> None:
    found = found_in(row.case)

    assert (found.code, found.failure, found.owner) == (row.code, row.failure, row.owner)
    assert found.is_final is (row.patience == 0)
    assert found.is_retriable is row.is_retriable
    assert found.summary and found.remedy and found.evidence


@pytest.mark.parametrize("row", [row for row in TABLE.values() if row.patience], ids=lambda row: row.code)
def test_what_may_mend_itself_is_final_when_its_time_is_over(row: Row) -> None:
    early = found_in(row.case)
    assert early.wait_seconds is not None
    assert row.patience - 5 <= early.wait_seconds <= row.patience

    late = found_in(replace(row.case, now=row.case.now + early.wait_seconds + 1))

    assert (late.code, late.is_final, late.wait_seconds) == (row.code, True, 0)


def documented() -> str:
    """The table as it stands in docs/failures.md."""
    lines = [
        "| what is seen | code | class | mended by | it may last | then |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in TABLE.items():
        patience = {0: "", 24 * HOURS: "24 h"}.get(row.patience, f"{row.patience:.0f} s")
        then = "tried again" if row.is_retriable else "told to the agent"
        lines.append(f"| {name} | `{row.code}` | `{row.failure}` | {row.owner} | {patience} | {then} |")
    return "\n".join(lines)


def test_the_document_says_what_is_done() -> None:
    text = (Path(__file__).parents[4] / "docs" / "failures.md").read_text()
    assert f"<!-- diagnoses -->\n{documented()}\n<!-- /diagnoses -->" in text


def test_a_mount_that_failed_once_and_then_succeeded_is_nothing_to_tell() -> None:
    """However long the image takes after it."""
    assert diagnose(told(case_of("image_pulling", 400), "FailedMount", "MountVolume.SetUp failed", 399)) is None


def test_a_mount_that_fails_just_now_may_succeed_the_next_time() -> None:
    assert diagnose(case_of("mount_nfs")) is None


# --- What is said of it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config_secret", 'secret "hf-token"'),
        ("config_map", 'configmap "no-settings"'),
        ("config_key", 'key "c" of configmap "settings"'),
    ],
)
def test_what_is_missing_is_named(name: str, said: str) -> None:
    found = found_in(case_of(name))

    assert said in found.summary
    assert said in found.remedy


def test_who_ran_out_of_memory_is_told_how_much_to_ask_for() -> None:
    case = ended(case_of("oom", 5), **KILLED, peaks={"rss_bytes": 3 << 30})
    containers = [{"name": "main", "image": "", "resources": {"limits": {"memory": "4Gi"}}}]

    found = found_in(with_pod(case, spec={"containers": containers}))

    assert "3072 MiB" in found.summary
    assert "4096 MiB" in found.summary
    assert 'memory="6Gi"' in found.remedy


def test_who_is_short_of_a_resource_is_told_which() -> None:
    assert "memory" in found_in(case_of("memory_huge")).remedy
    assert found_in(scheduled_not(case_of("gpu_none"), FULL)).summary == (
        "the pool is full: 0/4 nodes: 3 insufficient nvidia.com/gpu, 1 had untolerated taint {gpu: a100}"
    )


def test_a_policy_and_a_quota_are_named() -> None:
    assert '"gpus"' in found_in(case_of("quota")).summary
    assert "images have to be named by digest" in found_in(case_of("policy")).summary
    found = found_in(TABLE["webhook says no"].case)
    assert '"gate.example" forbids the step\'s pod: no team label' in found.summary


# --- What is no failure -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gated", "suspended", "image_pulling", "starting", "running", "finishing"])
def test_a_wait_is_no_failure(name: str) -> None:
    assert diagnose(case_of(name, 10_000)) is None


def test_a_wait_for_quota_is_no_failure() -> None:
    case = queued(case_of("suspended", 100_000), reason="Pending", message="insufficient unused quota")

    assert diagnose(case) is None
    # Nor is it known that Kueue does not look, where we may not see what it keeps.
    assert diagnose(replace(case, workload=None)) is None


def test_a_job_that_kueue_is_not_told_to_consider_is_told() -> None:
    case = queued(case_of("suspended"), reason="Pending", message="insufficient unused quota")
    said = "The workload is deactivated"
    evicted = {"type": "Evicted", "status": "True", "reason": "Deactivated", "message": said}
    conditions = [*(case.workload or {})["status"]["conditions"], evicted]
    case = replace(case, workload={"spec": {"active": False}, "status": {"conditions": conditions}})

    found = found_in(case)

    assert (found.code, found.summary) == ("queue_closed", f"in queue gpus, which does not admit it: {said}")


def test_a_job_that_kueue_has_just_let_go_has_not_waited_for_its_pod() -> None:
    case = queued(case_of("suspended", 10_000))
    job = {**(case.job or {}), "spec": {"suspend": False}}

    assert diagnose(replace(case, job=job)) is None


def test_one_that_kueue_put_off_before_it_began_may_begin_later() -> None:
    case = queued(case_of("starting", 60, is_pod_gone=True))

    assert diagnose(suspended(case)) is None
    assert diagnose(case) is None
    # Of no queue, it would not come again.
    assert found_in(case_of("starting", 60, is_pod_gone=True)).code == "pod_deleted"


def test_what_kueue_said_is_told_also_of_a_job_that_is_gone() -> None:
    case = told(case_of("running", 60, is_pod_gone=True), "Stopped", PREEMPTED)

    assert found_in(replace(case, job=None)).summary == f"Kueue took the step's quota back: {PREEMPTED}"


@pytest.mark.parametrize("name", ["exit_0", "exit_3"])
def test_a_program_that_ends_by_itself_speaks_for_itself(name: str) -> None:
    assert diagnose(ended(case_of(name, 9), 0 if name == "exit_0" else 3)) is None


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_nothing_is_wrong_with_what_we_ended(row: Row) -> None:
    assert diagnose(replace(row.case, cancelled_at=row.case.now)) is None


def test_a_job_that_has_just_been_made_has_no_pod_yet() -> None:
    case = replace(case_of("running"), pod=None, events=[])

    assert diagnose(replace(case, now=case.now + 50)) is None
    late = found_in(replace(case, now=case.now + 70))
    assert (late.code, late.is_final) == ("no_pod", False)
    assert found_in(replace(case, now=case.now + 700)).is_final


# --- Who was first ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exit_code", "seconds_before", "code"), [(0, 30, None), (0, 1, "drained"), (1, 1, "drained")])
def test_a_program_told_to_end_has_not_ended_by_itself(exit_code: int, seconds_before: float, code: Any) -> None:
    """It may have saved its state and ended with 0: that is no success, the work is not done."""
    case = ended(disrupted(case_of("exit_0", 60), "EvictionByEvictionAPI", 10), exit_code, at=seconds_before)

    found = diagnose(case)

    assert (found and found.code) == code


def test_a_pod_that_is_gone_was_told_to_end_before_the_time_it_bears() -> None:
    """The API server writes the last deletion of a pod, which has no grace any more, over the first."""
    case = case_of("running", 60, is_pod_gone=True)
    case = with_pod(case, metadata={"deletionTimestamp": moment(case.now), "deletionGracePeriodSeconds": 0})

    assert diagnose(ended(case, 0, at=5)) is None
    assert found_in(ended(case, 0, at=5, terminated=True)).code == "pod_deleted"


def test_a_node_that_comes_back_is_not_lost() -> None:
    case = lost_node()
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": moment(case.now)}

    assert diagnose(with_pod(case, status={"conditions": [ready]})) is None


def test_a_pod_that_should_be_gone_is_on_a_lost_node() -> None:
    case = with_pod(case_of("running", 300), metadata={"deletionTimestamp": moment(case_of("running", 300).now - 100)})

    assert found_in(case).code == "node_lost"


def test_a_node_on_its_way_is_waited_for() -> None:
    case = told(replace(case_of("gpu_none"), now=case_of("gpu_none").now + 500), "TriggeredScaleUp", "pool a 1->2", 10)

    found = found_in(case)

    assert (found.code, found.is_final) == ("waiting_for_capacity", False)
    assert "TriggeredScaleUp: pool a 1->2" in found.evidence


# --- Several pods -----------------------------------------------------------------------------------------------------


def test_the_rank_that_failed_first_is_the_cause() -> None:
    ranks = [
        ended(case_of("exit_143", 9, rank=0), **TERMINATED, at=1),
        replace(ended(case_of("oom", 9, rank=1), **KILLED, at=3)),
        ended(case_of("exit_3", 9, rank=2), 1, at=2),
    ]

    found = first_cause(ranks)

    assert found is not None
    assert (found[0].rank, found[1].code) == (1, "oom_container")


def test_a_rank_that_fails_by_itself_outweighs_those_that_are_ended_for_it() -> None:
    ranks = [
        ended(case_of("exit_143", 9, rank=0), **TERMINATED, at=5),
        ended(case_of("exit_3", 9, rank=1), 1, at=2),
    ]

    found = first_cause(ranks)

    assert found is not None
    assert (found[0].rank, found[1].code, found[1].summary) == (
        1,
        "rank_failed",
        "its program ended with exit code 1",
    )


def test_a_rank_that_the_platform_lost_is_the_cause_though_the_others_failed_before_it_was_known() -> None:
    ranks = [
        ended(case_of("exit_3", 9, rank=0), 1, at=5),
        disrupted(ended(case_of("exit_143", 9, rank=1), **TERMINATED, at=1), "DeletionByTaintManager"),
    ]

    found = first_cause(ranks)

    assert found is not None
    assert (found[0].rank, found[1].code, found[1].is_retriable) == (1, "node_tainted", True)


def test_ranks_that_are_well_have_no_diagnosis() -> None:
    assert first_cause([ended(case_of("exit_0", 9, rank=rank)) for rank in range(2)]) is None


@pytest.mark.parametrize("limit", ["1125899906842624", "1e3", "a lot"])
def test_a_limit_in_any_form_keeps_nobody_from_a_diagnosis(limit: str) -> None:
    containers = [{"name": "main", "image": "", "resources": {"limits": {"memory": limit}}}]

    assert diagnose(with_pod(ended(case_of("oom", 5), **KILLED), spec={"containers": containers})) is not None
