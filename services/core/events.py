"""The events of a run's log: one typed model each.

Sixteen, in `documented_events`, carry the names and keys that users of ml-intern know (`event_type`, `data`); the rest
are Cohort's own. On the wire an event is `{"event_type", "data", "run", "seq", "time", "turn"}`; `seq` is 1, 2, 3 …
without a gap.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from services.core.documented_events import (
    ApprovalRequired as ApprovalRequired,
    AssistantChunk as AssistantChunk,
    AssistantMessage as AssistantMessage,
    AssistantStreamEnd as AssistantStreamEnd,
    Compacted as Compacted,
    ErrorRaised as ErrorRaised,
    EventData as EventData,
    Interrupted as Interrupted,
    Processing as Processing,
    Ready as Ready,
    Shutdown as Shutdown,
    ToolCall as ToolCall,
    ToolLog as ToolLog,
    ToolOutput as ToolOutput,
    ToolStateChange as ToolStateChange,
    TurnComplete as TurnComplete,
    UndoComplete as UndoComplete,
)
from services.core.lifecycle import Reason, Status
from services.core.needs import Needs
from services.core.notes import Best
from services.core.records import Diagnosis, FileRef, Limits, PlanItem, Stage, Wait
from services.core.research import Parent
from services.core.resources import Resources, with_resources
from services.core.rules import Effort, Terms

# --- The run ------------------------------------------------------------------------------------------------------


class RunAccepted(EventData):
    """Seq 1 of every run: what was asked, by whom, with which limits."""

    event_type: ClassVar[str] = "run_accepted"
    tenant: str
    goal: str
    model: str
    limits: Limits
    labels: dict[str, str]
    snapshot: str
    deadline: float | None = None
    accepted_by: str = ""
    resources: Needs = Needs()
    rules: Terms = Terms()
    fallback_model: str = ""
    effort: Effort = ""
    parent: Parent | None = None


class StatusChanged(EventData):
    """A move in the lifecycle table."""

    event_type: ClassVar[str] = "status_changed"
    source: Status
    target: Status
    reason: Reason = Reason.NONE
    detail: str = ""


class Parked(EventData):
    """The run gave its worker back; `wait` says what wakes it."""

    event_type: ClassVar[str] = "run_parked"
    wait: Wait


class RunFinished(EventData):
    """How a run ended, for people and for CI."""

    event_type: ClassVar[str] = "run_finished"
    status: Status
    reason: Reason
    exit_code: int
    summary: str
    metrics: dict[str, float] = Field(default_factory=dict)
    artifacts: list[FileRef] = Field(default_factory=list)


class MessageReceived(EventData):
    """A person or a pipeline said something to the agent."""

    event_type: ClassVar[str] = "message_received"
    message_id: str
    content: str
    author: str


class CancelRequested(EventData):
    """Somebody wants the run to end. It is over when its last attempt is gone."""

    event_type: ClassVar[str] = "cancel_requested"
    author: str
    why: str = ""


class WorkspaceChanged(EventData):
    """The run's files have a new version."""

    event_type: ClassVar[str] = "workspace_changed"
    snapshot: str
    parent: str
    tool_call_id: str
    paths: list[str]


class PlanUpdate(EventData):
    """The agent's plan, whole."""

    event_type: ClassVar[str] = "plan_update"
    plan: list[PlanItem]


class CompletionQuestioned(EventData):
    """The agent said that it was done, and was told what speaks against it."""

    event_type: ClassVar[str] = "completion_questioned"
    problems: list[str]


class AgentNudged(EventData):
    """The agent was told that it goes in circles, or that it says things and does nothing."""

    event_type: ClassVar[str] = "agent_nudged"
    text: str


# --- The model ----------------------------------------------------------------------------------------------------


class LlmRequest(EventData):
    """The intent of a model call, with the dollars reserved for it."""

    event_type: ClassVar[str] = "llm_request"
    call: str
    model: str
    reserved_microdollars: int
    messages: int
    prompt_sha256: str
    estimated_tokens: int = 0


class LlmCall(EventData):
    """A model call that answered."""

    event_type: ClassVar[str] = "llm_call"
    call: str
    model: str
    latency_ms: int
    finish_reason: str
    cost_usd: float
    kind: str = "main"
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    first_token_ms: int | None = None


class LlmFailed(EventData):
    """A model call that failed, or whose outcome is unknown because the process that made it died.

    An unknown outcome is charged at its reservation: the provider may have done the work.
    """

    event_type: ClassVar[str] = "llm_failed"
    call: str
    model: str
    failure: str
    detail: str
    cost_usd: float
    retry_in_seconds: float | None = None


class ModelChanged(EventData):
    """The run goes on with its other model, because the one it had does not answer."""

    event_type: ClassVar[str] = "model_changed"
    source: str
    target: str
    why: str


class EffortDropped(EventData):
    """The provider refused a call with this effort: the model is asked without one from now on."""

    event_type: ClassVar[str] = "effort_dropped"
    model: str
    effort: Effort
    why: str


# --- Steps --------------------------------------------------------------------------------------------------------


class StepSubmitted(EventData):
    """A new attempt of a step is wanted. The controller makes it so."""

    event_type: ClassVar[str] = "step_submitted"
    step: str
    attempt: str
    number: int
    command: str
    snapshot: str
    uses: list[str]
    env: dict[str, str]
    deadline_seconds: float
    resources: Resources = Resources()
    pool: str = ""
    price_per_hour: float = 0.0
    reserved_microdollars: int = 0
    cause: Literal["agent", "infrastructure"] = "agent"
    restores: str = ""
    secrets: tuple[str, ...] = ()
    smoke: bool = False
    evaluates: bool = False

    _read_older = model_validator(mode="before")(with_resources)

    @property
    def memory_bytes(self) -> int | None:
        return self.resources.memory


class RuleRefused(EventData):
    """A rule kept the agent from submitting a step, or from finishing (`step` is empty then)."""

    event_type: ClassVar[str] = "rule_refused"
    rule: str
    step: str = ""
    text: str


class AttemptStarted(EventData):
    """The program of an attempt runs."""

    event_type: ClassVar[str] = "attempt_started"
    step: str
    attempt: str


class AttemptProgressed(EventData):
    """A live attempt came to another stage, or something else keeps it where it is."""

    event_type: ClassVar[str] = "attempt_progressed"
    step: str
    attempt: str
    stage: Stage
    detail: str = ""


class AttemptWarned(EventData):
    """Something is wrong with a program that runs: what was seen, and what is usual. Once for each step and `kind`.

    A run that waits for the step goes on, so that its agent may act.
    """

    event_type: ClassVar[str] = "attempt_warned"
    step: str
    attempt: str
    kind: str
    text: str


class AttemptFinished(EventData):
    """An attempt is over and its record closed. On several nodes, `rank` is the one whose end it is.

    `exited` is when its program ended, by its own machine's clock, in seconds since the epoch.
    """

    event_type: ClassVar[str] = "attempt_finished"
    step: str
    attempt: str
    outcome: Literal["succeeded", "failed", "cancelled", "lost"]
    exit_code: int | None = None
    reason: str
    diagnosis: Diagnosis | None = None
    rank: int | None = None
    seconds: float
    exited: float | None = None
    cost_usd: float
    log_bytes: int
    log_complete: bool
    gap_bytes: int = 0
    peak_rss_bytes: int | None = None
    outputs: list[FileRef] = Field(default_factory=list)
    checkpoint: str = ""
    best: list[Best] = Field(default_factory=list)


class StepCancelRequested(EventData):
    """The agent wants the live attempt of a step to stop."""

    event_type: ClassVar[str] = "step_cancel_requested"
    step: str


# --- Researches ---------------------------------------------------------------------------------------------------


class ResearchStarted(EventData):
    """A research is wanted: `research` is the run that does it. Its limits are held of this run's until it is over."""

    event_type: ClassVar[str] = "research_started"
    research: str
    tool_call_id: str
    title: str
    limits: Limits
    reserved_microdollars: int = 0


class ResearchFinished(EventData):
    """A research is over, and what it used is this run's spend."""

    event_type: ClassVar[str] = "research_finished"
    research: str
    status: Status
    reason: Reason = Reason.NONE
    turns: int = 0
    cost_usd: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0


class Unknown(EventData):
    """An event of a newer version. It is shown as it stands and changes nothing that this version knows of."""

    event_type: ClassVar[str] = "unknown"
    kind: str
    payload: Any

    def wire(self) -> Any:
        return self.payload


def _leaves(root: type[EventData]) -> dict[str, type[EventData]]:
    found: dict[str, type[EventData]] = {}
    for kind in root.__subclasses__():
        if "event_type" in vars(kind):
            found[kind.event_type] = kind
        found |= _leaves(kind)
    return found


KINDS: Mapping[str, type[EventData]] = _leaves(EventData)


@dataclass(frozen=True)
class Event:
    """One numbered entry of a run's log. `time` is seconds since the epoch, `turn` the model turn it belongs to."""

    run: str
    seq: int
    time: float
    turn: int
    data: EventData

    @property
    def event_type(self) -> str:
        return self.data.kind if isinstance(self.data, Unknown) else self.data.event_type

    def wire(self) -> dict[str, Any]:
        """The event as JSON clients see it."""
        return {
            "event_type": self.event_type,
            "data": self.data.wire(),
            "run": self.run,
            "seq": self.seq,
            "time": self.time,
            "turn": self.turn,
        }


def read_data(event_type: str, payload: str) -> EventData:
    """The typed data of a stored event; `Unknown` for a kind of a newer version."""
    return data_of(event_type, json.loads(payload))


def data_of(event_type: str, value: Any) -> EventData:
    """The same of data that is parsed already."""
    kind = KINDS.get(event_type)
    return Unknown(kind=event_type, payload=value) if kind is None else kind.model_validate(value or {})
