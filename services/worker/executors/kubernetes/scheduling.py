"""Why a pod has no node yet. Pure."""

import re
from dataclasses import dataclass

from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner
from services.worker.executors.kubernetes.case import Case, Json, evidence_of, last_said, message_of, seconds

MISFIT_SECONDS = 120.0
OTHER_POOL_SECONDS = 300.0
CAPACITY_SECONDS = 24 * 3600.0
SCALE_UP_SECONDS = 900.0

_SCALES_UP = ("TriggeredScaleUp", "Nominated")
_HEAD = re.compile(r"(?P<fit>\d+)/(?P<all>\d+) nodes are available: (?P<causes>.*?)(?:\.\s|\.?$)")
_CAUSE = re.compile(r"(?P<count>\d+) (?P<what>.+?)(?=, \d+ |$)")
_RESOLVABLE = re.compile(r"(\d+) No preemption victims found")
_SHORT = re.compile(r"^(?:insufficient |too many pods)", re.IGNORECASE)


@dataclass(frozen=True)
class Misfits:
    """Why no node takes the pod: how many nodes there are, and how many fail for which cause.

    `is_hopeless`: the nodes that lack something could not hold the pod if they were empty either.
    """

    nodes: int
    causes: tuple[tuple[int, str], ...]
    is_hopeless: bool

    @property
    def lacking(self) -> tuple[str, ...]:
        """The resources that are short, such as `nvidia.com/gpu`."""
        return tuple(what.split(" ", 1)[1] for _, what in self.causes if what.lower().startswith("insufficient "))

    @property
    def is_capacity(self) -> bool:
        """Whether a node of the right kind is there, and only too full."""
        return any(_SHORT.match(what) for _, what in self.causes)

    @property
    def text(self) -> str:
        """`0/4 nodes: 3 insufficient nvidia.com/gpu, 1 …`; without counts where all nodes fail alike."""
        if not self.nodes:
            return "the cluster has no nodes"
        alike = len(self.causes) == 1
        causes = [_plain(what) if alike else f"{count} {_plain(what)}" for count, what in self.causes]
        return f"0/{self.nodes} nodes: {', '.join(causes)}"


def misfits_of(case: Case) -> Misfits | None:
    """What the scheduler says of a pod it cannot place; None where it says nothing of the kind."""
    condition = case.pod_condition("PodScheduled")
    if condition.get("status") != "False" or condition.get("reason") == "SchedulingGated":
        return None
    message = message_of(condition)
    head = _HEAD.match(message)
    if head is None:
        return Misfits(0, (), False) if message.startswith("no nodes available") else None
    causes = tuple((int(found["count"]), found["what"]) for found in _CAUSE.finditer(head["causes"]))
    hopeless = "reemption" in message and _RESOLVABLE.search(message) is None
    return Misfits(int(head["all"]), tuple(sorted(causes, key=lambda cause: -cause[0])), hopeless)


def is_scaling_up(case: Case) -> bool:
    """Whether an autoscaler has said that a node is on its way, and it may still come."""
    said = case.said(*_SCALES_UP)
    return bool(said) and case.now < last_said(said[-1]) + SCALE_UP_SECONDS


def gates_of(case: Case) -> tuple[str, ...]:
    """What keeps the scheduler from looking at the pod."""
    return tuple(gate["name"] for gate in (case.pod or {}).get("spec", {}).get("schedulingGates") or ())


def diagnose_scheduling(case: Case) -> Diagnosis | None:
    """What keeps a pod from having a node."""
    if case.pod is None or case.is_pod_gone or case.node or gates_of(case):
        return None
    condition = case.pod_condition("PodScheduled")
    misfits = misfits_of(case)
    if condition.get("status") != "False":
        return None
    waited = case.now - (seconds(condition.get("lastTransitionTime")) or case.now)
    if misfits is None:
        return _misfit(case, condition, message_of(condition)[:300], waited)
    if misfits.is_capacity and misfits.is_hopeless and not is_scaling_up(case):
        return _impossible(case, condition, misfits, waited)
    if misfits.is_capacity or is_scaling_up(case):
        return _full(case, condition, misfits, waited)
    return _misfit(case, condition, misfits.text, waited)


def _impossible(case: Case, condition: Json, misfits: Misfits, waited: float) -> Diagnosis:
    what = ", ".join(misfits.lacking) or "pods"
    return Diagnosis(
        failure=Failure.UNSCHEDULABLE,
        owner=Owner.RESOURCES,
        code="impossible_request",
        summary=f"no node of the cluster could hold the step even if it were empty: too much {what} is asked for",
        evidence=evidence_of([*case.said("NotTriggerScaleUp"), condition], most=3),
        remedy=f"ask for less {what}, or for another pool",
        # An autoscaler that helps says so by then, and a node that has just come has told of its GPUs.
        is_final=waited >= MISFIT_SECONDS,
        is_retriable=case.has_another_pool,
        wait_seconds=max(0.0, MISFIT_SECONDS - waited),
    )


def _full(case: Case, condition: Json, misfits: Misfits, waited: float) -> Diagnosis:
    patience = OTHER_POOL_SECONDS if case.has_another_pool else CAPACITY_SECONDS
    left = patience - waited
    if is_scaling_up(case):
        left = max(left, last_said(case.said(*_SCALES_UP)[-1]) + SCALE_UP_SECONDS - case.now)
    then = "then another pool is tried" if case.has_another_pool else "it starts when others end or nodes are added"
    return Diagnosis(
        failure=Failure.UNSCHEDULABLE,
        owner=Owner.PLATFORM,
        code="waiting_for_capacity",
        summary=f"the pool is full: {misfits.text}",
        evidence=evidence_of([*case.said(*_SCALES_UP, "NotTriggerScaleUp"), condition], most=3),
        remedy=then,
        is_final=left <= 0,
        is_retriable=case.has_another_pool,
        wait_seconds=max(0.0, left),
    )


def _misfit(case: Case, condition: Json, text: str, waited: float) -> Diagnosis:
    return Diagnosis(
        failure=Failure.UNSCHEDULABLE,
        owner=Owner.PLATFORM,
        code="unschedulable",
        summary=f"no node is of the kind that the pool asks for: {text}",
        evidence=evidence_of([*case.said("NotTriggerScaleUp"), condition], most=3),
        remedy="use another pool; the operator has to correct this one's selector and tolerations, or add such nodes",
        is_final=waited >= MISFIT_SECONDS,
        is_retriable=case.has_another_pool,
        wait_seconds=max(0.0, MISFIT_SECONDS - waited),
    )


def _plain(what: str) -> str:
    """One of the scheduler's causes, as it reads after a number of nodes."""
    text = what.removeprefix("node(s) ")
    return text[0].lower() + text[1:] if text.startswith(("Insufficient", "Too many")) else text
