"""Everything that is known of one attempt in the cluster at one moment, and how to ask it. Pure.

Jobs, pods and events are the API's own JSON objects. Of each only what stands here is read, so that caches may drop the
rest.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from services.core.quantities import bytes_of
from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner
from services.runner.spool import ExitRecord

Json = Mapping[str, Any]

MAIN = "main"
"""The container that runs the user's program. All others are Cohort's own."""

RUNNER = "runner"
"""The sidecar, which claims the attempt for its pod."""

QUEUE = "kueue.x-k8s.io/queue-name"
"""The label that names the LocalQueue in which Kueue holds a Job."""


@dataclass(frozen=True)
class Case:
    """One attempt, or one rank of it.

    `exit` is how the program ended, as far as that is known. `is_pod_gone`: the pod was deleted after it looked like
    this. `has_another_pool`: the step may run in another pool if this one stays full. `now` and `cancelled_at` (when we
    asked for its end) are in seconds since the epoch. `workload` is what Kueue keeps of the Job: empty if it keeps
    nothing, None if that is not known.
    """

    now: float
    job: Json | None = None
    pod: Json | None = None
    events: Sequence[Json] = ()
    exit: ExitRecord | None = None
    is_pod_gone: bool = False
    cancelled_at: float | None = None
    has_another_pool: bool = False
    rank: int | None = None
    workload: Json | None = None

    @cached_property
    def containers(self) -> Sequence["Container"]:
        """Every container of the pod, in the order in which they start."""
        status = (self.pod or {}).get("status", {})
        statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        return [Container(one) for one in statuses]

    @cached_property
    def main(self) -> "Container":
        """The user's container; one of which nothing is known while there is none."""
        return next((one for one in self.containers if one.name == MAIN), Container({"name": MAIN}))

    @property
    def pod_reason(self) -> str:
        """Why the kubelet ended the pod: `Evicted`, `DeadlineExceeded`."""
        return str((self.pod or {}).get("status", {}).get("reason") or "")

    @property
    def pod_message(self) -> str:
        return str((self.pod or {}).get("status", {}).get("message") or "").strip()

    @property
    def pod_phase(self) -> str:
        return str((self.pod or {}).get("status", {}).get("phase") or "")

    @property
    def node(self) -> str:
        """The node the pod is bound to, '' while there is none."""
        return str((self.pod or {}).get("spec", {}).get("nodeName") or "")

    def pod_condition(self, kind: str) -> Json:
        """A condition of the pod, whatever its status; empty where there is none."""
        return _condition(self.pod, kind)

    def job_condition(self, kind: str) -> Json:
        """A condition of the Job, whatever its status; empty where there is none."""
        return _condition(self.job, kind)

    def workload_condition(self, kind: str) -> Json:
        """A condition of what Kueue keeps of the Job, whatever its status; empty where there is none."""
        return _condition(self.workload, kind)

    @property
    def queue(self) -> str:
        """Kueue's LocalQueue that the Job belongs to, '' where it belongs to none."""
        return queue_of(self.job)

    @property
    def is_suspended(self) -> bool:
        """Whether the Job may have no pod now: it is held back, or was stopped."""
        return bool((self.job or {}).get("spec", {}).get("suspend"))

    def said(self, *reasons: str) -> Sequence[Json]:
        """The events with one of these reasons, oldest first."""
        return sorted((event for event in self.events if event.get("reason") in reasons), key=last_said)

    @property
    def age_of_job(self) -> float:
        """Seconds since the Job could have a pod: since it was made, or let go. 0 until its controller has looked."""
        if self.job is None or self.job_condition("Suspended").get("status") == "True":
            return 0.0
        began = self.job.get("status", {}).get("startTime") or self.job["metadata"].get("creationTimestamp")
        return self.now - (seconds(began) or self.now)

    @property
    def asked_to_end_at(self) -> float | None:
        """When the cluster began to end the pod before its time, in seconds since the epoch."""
        disruption = self.pod_condition("DisruptionTarget")
        if disruption.get("status") == "True":
            return seconds(disruption.get("lastTransitionTime"))
        metadata = (self.pod or {}).get("metadata", {})
        due = seconds(metadata.get("deletionTimestamp"))
        grace = metadata.get("deletionGracePeriodSeconds")
        if grace is None:
            grace = (self.pod or {}).get("spec", {}).get("terminationGracePeriodSeconds", 0)
        return None if due is None else due - float(grace)

    @property
    def memory_limit(self) -> int | None:
        """What `main` may use, in bytes; None where nothing bounds it, or in a way that nobody here writes."""
        for one in (self.pod or {}).get("spec", {}).get("containers") or ():
            text = (one.get("resources", {}).get("limits") or {}).get("memory")
            if one["name"] == MAIN and text is not None:
                return _bytes_of(text)
        return None


@dataclass(frozen=True)
class Container:
    """What is known of a container of the pod."""

    status: Json

    @property
    def name(self) -> str:
        return str(self.status["name"])

    @property
    def is_users(self) -> bool:
        """Whether it is the step's own, and not one of Cohort's."""
        return self.name == MAIN

    @property
    def image(self) -> str:
        return str(self.status.get("image") or "")

    @property
    def is_running(self) -> bool:
        return "running" in (self.status.get("state") or {})

    @property
    def waiting(self) -> Json:
        """`reason` and `message` of what it waits for; empty where it does not wait."""
        return (self.status.get("state") or {}).get("waiting") or {}

    @property
    def waits_for(self) -> str:
        return str(self.waiting.get("reason") or "")

    @property
    def terminated(self) -> Json:
        """How it ended; empty where it did not."""
        return (self.status.get("state") or {}).get("terminated") or {}


def queue_of(job: Json | None) -> str:
    """Kueue's LocalQueue that a Job belongs to, '' where it belongs to none."""
    return str(((job or {}).get("metadata", {}).get("labels") or {}).get(QUEUE) or "")


def has_begun(pod: Json) -> bool:
    """Whether the pod's sidecar was started: that claims the attempt, and no other pod will run its program."""
    statuses = pod.get("status", {}).get("initContainerStatuses") or ()
    sidecar: Json = next((one for one in statuses if one["name"] == RUNNER), {})
    state = sidecar.get("state") or {}
    return "running" in state or "terminated" in state or bool(sidecar.get("restartCount"))


def seconds(text: str | None) -> float | None:
    """A Kubernetes time as seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp() if text else None


def first_said(event: Json) -> float:
    """When an event was first seen, in seconds since the epoch; 0 where it does not say."""
    return seconds(event.get("firstTimestamp") or event.get("eventTime") or event.get("lastTimestamp")) or 0.0


def last_said(event: Json) -> float:
    """When an event was last seen, in seconds since the epoch; 0 where it does not say."""
    return seconds(event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")) or 0.0


def message_of(said: Json) -> str:
    """The message of an event or a condition on one line."""
    return re.sub(r"\s+", " ", str(said.get("message") or "")).strip()


def evidence_of(saids: Iterable[Json], most: int = 4) -> tuple[str, ...]:
    """Events and conditions as evidence: `reason: message`, each once, the last ones."""
    texts = [f"{said.get('reason') or said.get('type')}: {message_of(said)}"[:600] for said in saids]
    return tuple(dict.fromkeys(texts))[-most:]


def platform_failure(
    code: str, summary: str, evidence: tuple[str, ...], failure: Failure = Failure.STOPPED
) -> Diagnosis:
    """What is nobody's fault who wrote the step: the same work is tried again without a word."""
    return Diagnosis(
        failure=failure,
        owner=Owner.PLATFORM,
        code=code,
        summary=summary,
        evidence=evidence,
        remedy="it is tried again by itself, from its last checkpoint where there is one",
        is_retriable=True,
    )


def _bytes_of(text: str) -> int | None:
    try:
        return int(text) if text.isdigit() else bytes_of(text)
    except ValueError:
        return None


def _condition(body: Json | None, kind: str) -> Json:
    conditions = (body or {}).get("status", {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})
