"""Where an attempt is on its way, as a cluster showed it."""

from dataclasses import replace

import pytest

from services.core.records import Stage
from services.worker.executors.kubernetes.case import Case
from services.worker.executors.kubernetes.diagnosis import diagnose
from services.worker.executors.kubernetes.stages import stage_of
from tests.worker.executors.kubernetes.cases import case_of, ended, queued, suspended, told
from tests.worker.executors.kubernetes.test_diagnosis import FULL, scheduled_not


def staged(case: Case) -> tuple[Stage | None, str]:
    return stage_of(case, diagnose(case))


@pytest.mark.parametrize(
    ("case", "stage", "detail"),
    [
        (replace(case_of("running"), job=None, pod=None), None, ""),
        (case_of("suspended"), Stage.QUEUED, "suspended"),
        (case_of("gated"), Stage.QUEUED, "held back by kueue.x-k8s.io/admission"),
        (replace(case_of("running"), pod=None, events=()), Stage.ADMITTED, ""),
        (case_of("quota"), Stage.ADMITTED, 'the quota "gpus" is used up'),
        (case_of("gpu_none"), Stage.SCHEDULING, "0/1 nodes: insufficient nvidia.com/gpu"),
        (scheduled_not(case_of("gpu_none"), FULL), Stage.SCHEDULING,
         "0/4 nodes: 3 insufficient nvidia.com/gpu, 1 had untolerated taint {gpu: a100}"),
        (told(case_of("gpu_none"), "TriggeredScaleUp", "1->2"), Stage.SCHEDULING,
         "0/1 nodes: insufficient nvidia.com/gpu; a node is being added"),
        (case_of("selector"), Stage.SCHEDULING, "0/1 nodes: didn't match Pod's node affinity/selector"),
        (case_of("image_pulling"), Stage.PULLING, "image registry.example/team/slow/train:1 to node node-1"),
        (case_of("image_broken", 2), Stage.PULLING,
         "image registry.example/team/broken/train:1 cannot be fetched: its registry has trouble of its own"),
        (case_of("starting"), Stage.STARTING, "its files are laid out on node node-1"),
        (case_of("mount_nfs", 5), Stage.STARTING, "a volume cannot be mounted on node node-1"),
        (case_of("config_secret"), Stage.STARTING, 'the step reads secret "hf-token", which the cluster does not have'),
        (case_of("running"), Stage.RUNNING, "on node node-1"),
        (ended(case_of("finishing")), Stage.FINISHING, "its log and outputs are on their way"),
        (case_of("preempted", 9), Stage.FINISHING, "it is being stopped"),
    ],
)  # fmt: skip
def test_the_stage_and_what_keeps_it_there(case: Case, stage: Stage | None, detail: str) -> None:
    assert staged(case) == (stage, detail)


def test_a_queue_of_kueue_is_named_with_what_kueue_says() -> None:
    case = case_of("suspended")
    said = "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu, 1 more needed"

    assert staged(queued(case)) == (Stage.QUEUED, "in queue gpus")
    assert staged(replace(queued(case), workload=None)) == (Stage.QUEUED, "in queue gpus")
    assert staged(queued(case, reason="Pending", message=said)) == (Stage.QUEUED, f"in queue gpus: {said}")


def test_one_that_kueue_put_off_before_it_began_is_in_the_queue_again() -> None:
    case = queued(suspended(case_of("starting")), reason="Pending", message="Preempted to accommodate a workload")

    assert staged(case) == (Stage.QUEUED, "in queue gpus: Preempted to accommodate a workload")


def test_words_are_bounded() -> None:
    assert len(staged(scheduled_not(case_of("selector"), "x" * 10_000))[1]) <= 300
