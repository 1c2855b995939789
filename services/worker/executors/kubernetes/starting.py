"""What keeps a pod that has a node from running its program, its image apart. Pure."""

import re

from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner
from services.worker.executors.kubernetes.case import (
    Case,
    Container,
    evidence_of,
    first_said,
    message_of,
    seconds,
)

CONFIG_SECONDS = 60.0
VOLUME_SECONDS = 300.0
# A node may read a new pod's Secrets a moment after it first tries to: many a mount succeeds the second time.
NOTICED_SECONDS = 3.0

_MISSING = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found', re.IGNORECASE)
_MISSING_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?:[^/\s]*/)?(?P<name>\S+)")
_NOT_MOUNTED = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_NOT_CREATED = {"CreateContainerError", "RunContainerError", "CreatePodSandboxError", "PostStartHookError"}


def diagnose_config(case: Case) -> Diagnosis | None:
    """A container that names what is not there, or may not run as it is."""
    container = _waiting_for(case, {"CreateContainerConfigError"})
    if container is None:
        return None
    said = message_of(container.waiting)
    missing = _missing(said)
    left = CONFIG_SECONDS - (case.now - _bound(case))
    if missing is None:
        return _waits(
            left,
            code="container_refused",
            failure=Failure.CONFIG,
            owner=Owner.CODE,
            summary=f"the container cannot be made as it is asked for: {said[:200]}",
            evidence=evidence_of([container.waiting]),
            remedy="correct what the evidence names, or use another image",
        )
    return _waits(
        left,
        code="config_missing",
        failure=Failure.CONFIG,
        owner=Owner.ACCESS,
        summary=f"the step reads {missing}, which the cluster does not have",
        evidence=evidence_of([container.waiting]),
        remedy=f"ask whoever runs the install to create {missing}, or do without it",
    )


def diagnose_volume(case: Case) -> Diagnosis | None:
    """A volume that cannot be mounted."""
    said = case.said(*_NOT_MOUNTED)
    if not case.node or not said or _has_volumes(case):
        return None
    waited = case.now - first_said(said[0])
    if waited < NOTICED_SECONDS:
        return None
    last = message_of(said[-1])
    left = VOLUME_SECONDS - waited
    missing = _missing(last)
    if missing is not None:
        # The attempt's own token comes just after its Job: it may not be there yet.
        return _waits(
            left,
            code="config_missing",
            failure=Failure.CONFIG,
            owner=Owner.ACCESS,
            summary=f"the pod mounts {missing}, which the cluster does not have",
            evidence=evidence_of(said),
            remedy=f"ask whoever runs the install to create {missing}",
        )
    return _waits(
        left,
        code="volume_not_mounted",
        failure=Failure.UNSCHEDULABLE,
        owner=Owner.PLATFORM,
        summary=f"a volume cannot be mounted on node {case.node}",
        evidence=evidence_of(said),
        remedy="it is tried again by itself, on whatever node has room then",
        is_retriable=True,
    )


def diagnose_creation(case: Case) -> Diagnosis | None:
    """A container that the node fails to make or to start."""
    container = _waiting_for(case, _NOT_CREATED)
    if container is None:
        return None
    left = CONFIG_SECONDS - (case.now - _bound(case))
    return _waits(
        left,
        code="container_not_created",
        failure=Failure.DEVICE_UNAVAILABLE,
        owner=Owner.PLATFORM,
        summary=f"node {case.node} fails to start the container {container.name}",
        evidence=evidence_of([*case.said("Failed"), container.waiting], most=3),
        remedy="it is tried again by itself",
        is_retriable=True,
    )


def _waiting_for(case: Case, reasons: set[str]) -> Container | None:
    return next((one for one in case.containers if one.waits_for in reasons), None)


def _has_volumes(case: Case) -> bool:
    """Whether the pod has got past its mounts: the kubelet makes them before anything else."""
    has_begun = any(one.is_running or one.terminated for one in case.containers)
    return has_begun or case.pod_condition("PodReadyToStartContainers").get("status") == "True"


def _bound(case: Case) -> float:
    """When the pod had its node."""
    scheduled = case.pod_condition("PodScheduled")
    return seconds(scheduled.get("lastTransitionTime")) or case.now


def _missing(text: str) -> str | None:
    """What a message says is not there: `secret "hf-token"`, `key "a" of configmap "settings"`."""
    found = _MISSING.search(text)
    if found is not None:
        return f'{found["kind"].lower()} "{found["name"]}"'
    found = _MISSING_KEY.search(text)
    return None if found is None else f'key "{found["key"]}" of {found["kind"].lower()} "{found["name"]}"'


def _waits(
    left: float,
    *,
    code: str,
    failure: Failure,
    owner: Owner,
    summary: str,
    evidence: tuple[str, ...],
    remedy: str,
    is_retriable: bool = False,
) -> Diagnosis:
    return Diagnosis(
        failure=failure,
        owner=owner,
        code=code,
        summary=summary,
        evidence=evidence,
        remedy=remedy,
        is_retriable=is_retriable,
        is_final=left <= 0,
        wait_seconds=max(0.0, left),
    )
