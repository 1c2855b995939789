"""Where an attempt is on its way, in words for people. Pure."""

from services.core.records import Diagnosis, Stage
from services.worker.executors.kubernetes.case import Case, Container, last_said, message_of
from services.worker.executors.kubernetes.queueing import may_start_again, queue_text
from services.worker.executors.kubernetes.scheduling import gates_of, is_scaling_up, misfits_of

_PULL_FAILED = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_MOST = 300


def stage_of(case: Case, diagnosis: Diagnosis | None = None) -> tuple[Stage | None, str]:
    """The stage, and what keeps the attempt there or what it does there. None where the cluster shows nothing of it."""
    is_on_node = case.pod is not None and case.node and not may_start_again(case)
    stage, detail = _on_node(case) if is_on_node else _before(case)
    if diagnosis is not None and not diagnosis.is_final and stage not in {None, Stage.SCHEDULING}:
        detail = diagnosis.summary
    return stage, detail[:_MOST]


def _before(case: Case) -> tuple[Stage | None, str]:
    """Without a node."""
    if case.job is None:
        return None, ""
    if case.is_suspended:
        return Stage.QUEUED, queue_text(case)
    if case.pod is None or case.is_pod_gone:
        return Stage.ADMITTED, ""
    gates = gates_of(case)
    if gates:
        return Stage.QUEUED, f"held back by {', '.join(gates)}"
    return Stage.SCHEDULING, _scheduling_text(case)


def _scheduling_text(case: Case) -> str:
    misfits = misfits_of(case)
    condition = case.pod_condition("PodScheduled")
    text = misfits.text if misfits else message_of(condition) if condition.get("status") == "False" else ""
    return f"{text}; a node is being added" if is_scaling_up(case) else text


def _on_node(case: Case) -> tuple[Stage, str]:
    """Bound to a node."""
    main = case.main
    if main.terminated:
        return Stage.FINISHING, "its log and outputs are on their way"
    if (case.pod or {}).get("metadata", {}).get("deletionTimestamp"):
        return Stage.FINISHING, "it is being stopped"
    if main.is_running:
        return Stage.RUNNING, f"on node {case.node}"
    current = next((one for one in case.containers if one.waits_for in _PULL_FAILED or _is_pulling(case, one)), None)
    if current is not None:
        return Stage.PULLING, f"image {current.image} to node {case.node}"
    is_laying = any(one.is_running and not one.is_users for one in case.containers)
    return Stage.STARTING, f"its files are laid out on node {case.node}" if is_laying else f"on node {case.node}"


def _is_pulling(case: Case, container: Container) -> bool:
    """Whether the kubelet fetches the container's image now: it said so, and nothing of the end of it since."""
    if not container.waits_for or not container.image:
        return False
    about = [event for event in case.said("Pulling", "Pulled", "Failed") if f'"{container.image}"' in message_of(event)]
    return bool(about) and max(about, key=last_said)["reason"] == "Pulling"
