"""Why a container's image cannot be had. Pure.

The kubelet hands on the container runtime's text and nothing else, so the text decides; status codes in it come first.
"""

import re
from dataclasses import dataclass

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

REGISTRY_SECONDS = 600.0
IMAGE_SECONDS = 30.0

_NEVER = {"InvalidImageName": "image_invalid", "ErrImageNeverPull": "image_invalid"}
_FAILED = {"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}


@dataclass(frozen=True)
class _Kind:
    """One way in which a registry does not give an image. `is_passing`: the registry's own trouble."""

    code: str
    pattern: re.Pattern[str]
    is_passing: bool
    says: str
    remedy: str = ""


def _kind(code: str, pattern: str, says: str, remedy: str = "", *, is_passing: bool = False) -> _Kind:
    return _Kind(code, re.compile(pattern, re.IGNORECASE), is_passing, says, remedy)


# First match wins: a registry that is overloaded may well say "unauthorized" in the same breath.
_KINDS = (
    _kind(
        "registry_busy",
        r"\b429\b|too ?many ?requests|rate limit|quota",
        "its registry takes no more requests for now",
        is_passing=True,
    ),
    _kind(
        "registry_failing",
        r"\b5\d\d\b (?!bytes)|internal server error|service unavailable|bad gateway",
        "its registry has trouble of its own",
        is_passing=True,
    ),
    _kind(
        "registry_unreachable",
        r"timeout|timed out|deadline exceeded|connection (?:refused|reset)|no such host|"
        r"server misbehaving|network is unreachable|no route to host|unexpected EOF|: EOF\b|TLS handshake",
        "its registry does not answer",
        is_passing=True,
    ),
    _kind("node_disk_full", r"no space left on device", "the node has no room for it", is_passing=True),
    _kind(
        "image_auth",
        r"\b40[13]\b|unauthorized|forbidden|authentication required|authorization failed|"
        r"access denied|denied: ",
        "its registry refuses it, or does not have it",
        "check the image's name; if it is private, the operator has to give the install a pull secret for it",
    ),
    _kind(
        "image_platform",
        r"no match for platform|exec format error",
        "it is not made for the node's kind of machine",
        "build it for the node's architecture, or use another pool",
    ),
    _kind(
        "image_not_found",
        r"not found|manifest unknown|name unknown|does not exist",
        "there is no such image",
        "correct the image's name and tag; its registry must have it",
    ),
)
_UNKNOWN = _kind("image_not_pulled", "", "it could not be fetched", "see the evidence; try another image")


def diagnose_image(case: Case) -> Diagnosis | None:
    """What is wrong with an image that a container waits for."""
    for container in case.containers:
        if container.waits_for in _NEVER:
            return _invalid(container)
        if container.waits_for in _FAILED:
            return _not_pulled(case, container)
    return None


def _invalid(container: Container) -> Diagnosis:
    said = evidence_of([container.waiting])
    is_name = container.waits_for == "InvalidImageName"
    says = "is no name of an image" if is_name else "is not on the node, and must not be fetched"
    return _of_container(container, _NEVER[container.waits_for], f"{container.image!r} {says}", said).model_copy(
        update={"remedy": "correct the image's name; write it like registry.example/team/train:1"}
    )


def _not_pulled(case: Case, container: Container) -> Diagnosis:
    said = [event for event in case.said("Failed") if container.image in message_of(event)]
    text = " ".join(message_of(one) for one in (container.waiting, *said))
    kind = next((kind for kind in _KINDS if kind.pattern.search(text.replace(container.image, ""))), _UNKNOWN)
    patience = REGISTRY_SECONDS if kind.is_passing else IMAGE_SECONDS
    left = min(patience, patience - (case.now - _began(case, container)))
    found = _of_container(
        container,
        kind.code,
        f"image {container.image} cannot be fetched: {kind.says}",
        evidence_of([*said, container.waiting], most=2),
    )
    update: dict[str, object] = {"is_final": left <= 0, "wait_seconds": max(0.0, left)}
    if kind.is_passing:
        update |= {"owner": Owner.PLATFORM, "is_retriable": True, "remedy": "it is tried again by itself"}
    elif container.is_users:
        update["remedy"] = kind.remedy
    return found.model_copy(update=update)


def _began(case: Case, container: Container) -> float:
    """When its image was first asked for."""
    pulls = [event for event in case.said("Pulling", "Failed") if container.image in message_of(event)]
    bound = seconds(case.pod_condition("PodScheduled").get("lastTransitionTime"))
    return min((first_said(event) for event in pulls), default=bound or case.now)


def _of_container(container: Container, code: str, summary: str, evidence: tuple[str, ...]) -> Diagnosis:
    """The step's own image is named by whoever wrote the step; Cohort's are the operator's."""
    if container.is_users:
        return Diagnosis(failure=Failure.IMAGE_PULL, owner=Owner.CODE, code=code, summary=summary, evidence=evidence)
    return Diagnosis(
        failure=Failure.IMAGE_PULL,
        owner=Owner.PLATFORM,
        code=code,
        summary=f"Cohort's own {summary}",
        evidence=evidence,
        remedy="the operator has to make the runner's image available to the cluster, or name another in the settings",
    )
