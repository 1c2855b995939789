"""Ended by the cluster, or by somebody in it, and not by the program or its limits. Pure.

All of it is the platform's business: the same work is tried again elsewhere, from its last checkpoint.
"""

import math
import re

from services.core.records import Diagnosis
from services.runner.spool import ExitReason
from services.worker.executors.kubernetes.case import (
    Case,
    evidence_of,
    has_begun,
    last_said,
    message_of,
    platform_failure,
    seconds,
)
from services.worker.executors.kubernetes.queueing import may_start_again

NODE_SECONDS = 60.0

# What the kubelet calls a pod that it did not take, or put off the node for reasons of the node's own.
_REJECTED = re.compile(r"OutOf\S+|NodeAffinity|NodePorts|UnexpectedAdmissionError|Topology\S*|Preempting")
_SHUTDOWN = {"NodeShutdown", "Shutdown", "Terminated"}
_SIGTERM = 15
_DISRUPTIONS = {
    "PreemptionByScheduler": ("preempted", "a pod of higher priority took its place"),
    "DeletionByTaintManager": ("node_tainted", "its node was taken out of service"),
    "EvictionByEvictionAPI": ("drained", "its node is being emptied, or somebody evicted it"),
    "DeletionByPodGC": ("node_lost", "its node is gone"),
    "TerminationByKubelet": ("node_pressure", "its node ended it to save itself"),
}


def diagnose_disruption(case: Case) -> Diagnosis | None:
    """Ended by the cluster for reasons of its own, which the pod's condition names."""
    condition = case.pod_condition("DisruptionTarget")
    if condition.get("status") == "True" and not was_over_before(case):
        reason = str(condition.get("reason"))
        code, why = _DISRUPTIONS.get(reason, ("disrupted", reason))
        return platform_failure(code, f"the pod was ended from outside: {why}", evidence_of([condition]))
    if case.pod_reason in _SHUTDOWN:
        said = [{"reason": case.pod_reason, "message": case.pod_message}]
        return platform_failure("node_shutdown", f"node {case.node} is shutting down", evidence_of(said))
    if _REJECTED.fullmatch(case.pod_reason):
        said = [{"reason": case.pod_reason, "message": case.pod_message}]
        return platform_failure("pod_rejected", f"node {case.node} did not take the pod", evidence_of(said))
    return None


def diagnose_node_loss(case: Case) -> Diagnosis | None:
    """On a node that nobody hears of."""
    if case.pod is None or case.is_pod_gone or case.main.terminated:
        return None
    asked = case.asked_to_end_at
    deleted = case.pod["metadata"].get("deletionTimestamp")
    grace = float(case.pod.get("spec", {}).get("terminationGracePeriodSeconds", 30))
    if deleted and asked is not None and case.now > asked + grace + NODE_SECONDS:
        text = f"node {case.node} does not answer: the pod should have been gone for {NODE_SECONDS:.0f} s"
        return platform_failure("node_lost", text, evidence_of(case.said("NodeNotReady")))
    unready = case.pod_condition("Ready")
    said = case.said("NodeNotReady")
    if not said or not case.main.is_running or unready.get("status") == "True":
        return None
    left = NODE_SECONDS - (case.now - (seconds(unready.get("lastTransitionTime")) or last_said(said[-1])))
    found = platform_failure("node_lost", f"node {case.node} does not answer", evidence_of(said))
    return found.model_copy(update={"is_final": left <= 0, "wait_seconds": max(0.0, left)})


def diagnose_suspension(case: Case) -> Diagnosis | None:
    """Its Job was suspended after its pod had begun: by Kueue, whose quota went to somebody else, or by hand.

    The Job could start again, with another pod. That one would be refused the claim, so the attempt is lost.
    """
    if case.pod is None or not has_begun(case.pod) or was_over_before(case):
        return None
    made = seconds(case.pod["metadata"].get("creationTimestamp")) or 0.0
    stops = [event for event in case.said("Stopped") if last_said(event) >= math.floor(made)]
    is_over = case.is_pod_gone or bool(case.main.terminated)
    if not is_over or not (case.is_suspended or stops):
        return None
    if not (case.queue or stops):
        said = evidence_of([case.job_condition("Suspended")])
        return platform_failure("suspended", "somebody suspended the step's Job while it ran", said)
    word = stops[-1] if stops else case.workload_condition("Evicted")
    summary = "Kueue took the step's quota back"
    told = f"{summary}: {message_of(word)}" if message_of(word) else summary
    return platform_failure("suspended", told, evidence_of([word or case.job_condition("Suspended")]))


def diagnose_removal(case: Case) -> Diagnosis | None:
    """Its pod, or its Job, was deleted by somebody else than us."""
    if case.cancelled_at is not None or case.pod is None or was_over_before(case) or may_start_again(case):
        return None
    deleted = case.asked_to_end_at is not None and case.pod_condition("DisruptionTarget").get("status") != "True"
    if not case.is_pod_gone and not (deleted and case.main.terminated):
        return None
    said = evidence_of([*case.said("Killing"), case.job_condition("Failed")][-2:])
    return platform_failure("pod_deleted", "somebody deleted the step's pod while it ran", said)


def diagnose_kill(case: Case) -> Diagnosis | None:
    """Told to end by a signal that was not ours."""
    exit = case.exit
    if exit is None or case.cancelled_at is not None:
        return None
    by_signal = exit.reason is ExitReason.SIGNALLED and exit.signal == _SIGTERM
    by_code = exit.reason is ExitReason.EXITED and exit.exit_code == 128 + _SIGTERM
    if not by_signal and not by_code:
        return None
    said = (f"exit code {exit.exit_code}: SIGTERM, and Cohort did not send it",)
    return platform_failure("killed_externally", "something outside the program told it to end", said)


def was_over_before(case: Case) -> bool:
    """Whether the program ended by itself before the cluster began to end it. To the second: ties are the cluster's.

    What its shim says comes first: the last word of a pod that is gone is of when it went, not of when that was asked.
    """
    asked, exit = case.asked_to_end_at, case.exit
    return asked is not None and exit is not None and not exit.terminated and exit.finished < math.floor(asked)
