"""How a pod ended, from its JSON (`kubectl get pod -o json`). Pure; reads only what stands in a pod's status."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SIDECARS = {"runner"}


@dataclass(frozen=True)
class PodEnding:
    """The exit code of the pod's program, the most telling reason, and what the cluster said, in its own words."""

    exit_code: int | None = None
    reason: str = ""
    evidence: tuple[str, ...] = ()


def read_pod(body: object) -> PodEnding:
    """Read one pod, or the first of a list. Raises `ValueError` for what is none."""
    if not isinstance(body, Mapping):
        raise ValueError("not an object")
    items = body.get("items")
    pod = items[0] if isinstance(items, list) and items else body
    status = pod.get("status") if isinstance(pod, Mapping) else None
    if not isinstance(status, Mapping):
        raise ValueError("it has no status")
    ended = list(_terminated(status))
    # A container that failed says more than one that did not.
    main = next((one for one in ended if one.get("exitCode") != 0), ended[0] if ended else {})
    reasons = [*_pod_reasons(status), *_waiting(status), *(str(one.get("reason", "")) for one in ended)]
    telling = [reason for reason in reasons if reason and reason not in {"Completed", "Error"}]
    code = main.get("exitCode")
    exit_code = code if isinstance(code, int) else None
    return PodEnding(
        exit_code, next(iter(telling), next(iter(filter(None, reasons)), "")), tuple(_evidence(status, ended))
    )


def _terminated(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for one in status.get("containerStatuses") or ():
        for key in ("state", "lastState"):
            terminated = (one.get(key) or {}).get("terminated")
            if terminated and one.get("name") not in _SIDECARS:
                yield terminated


def _waiting(status: Mapping[str, Any]) -> Iterator[str]:
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        yield str(((one.get("state") or {}).get("waiting") or {}).get("reason") or "")


def _pod_reasons(status: Mapping[str, Any]) -> Iterator[str]:
    """The pod's own reason; of an eviction what it was for is more telling than that it was one."""
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    if reason == "Evicted" and ("ephemeral" in message.lower() or "emptydir" in message.lower()):
        yield "Evicted: it exceeded its limit of ephemeral storage" if "exceed" in message.lower() else "Evicted"
    yield reason
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            yield str(condition.get("reason") or "DisruptionTarget")
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield str(condition.get("reason") or "Unschedulable")


def _evidence(status: Mapping[str, Any], ended: list[Mapping[str, Any]]) -> Iterator[str]:
    for said in (status, *(status.get("conditions") or ()), *ended):
        if said.get("reason") and said.get("message"):
            yield f"{said['reason']}: {said['message']}"[:300]
