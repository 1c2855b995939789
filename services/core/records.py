"""The records of a run: what was asked, and where the work stands. All frozen; a change is a copy.

`RunState` is the fold of the run's event log (see `fold`), kept beside the log so that nobody replays from the start.
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from services.core.lifecycle import Reason, Status, exit_code
from services.core.limits import Limits as Limits
from services.core.needs import Needs
from services.core.notes import Best, StepWarning
from services.core.open_calls import OpenCall as OpenCall, PendingModelCall as PendingModelCall
from services.core.record import Record, Versioned
from services.core.research import Parent, Research
from services.core.resources import Resources, with_resources
from services.core.rules import Effort, Terms
from services.core.taxonomy import Failure, Owner
from services.core.window import Window

MICRODOLLARS = 1_000_000


class FileRef(Record):
    """A file in the artifact store, under the name the run knows it by."""

    path: str
    sha256: str
    size: int


class PlanItem(Record):
    """One line of the agent's plan."""

    id: str
    content: str
    status: Literal["pending", "in_progress", "completed"]


class Stage(StrEnum):
    """Where a live attempt is on its way through the cluster, in the order in which the stages come.

    `queued`: held back until there is quota or room for it. `admitted`: it may go, and has no pod yet. `scheduling`: it
    wants a node. `pulling`: its image is fetched. `starting`: its files are laid out. `finishing`: the program is over,
    its log and outputs are on their way. `unknown`: the cluster has not answered for a while, and it may be anywhere.
    """

    QUEUED = "queued"
    ADMITTED = "admitted"
    SCHEDULING = "scheduling"
    PULLING = "pulling"
    STARTING = "starting"
    RUNNING = "running"
    FINISHING = "finishing"
    UNKNOWN = "unknown"


class Diagnosis(Record):
    """What is wrong with an attempt, by what the cluster and the runner know of it, or else by its log.

    `failure` is the class, `code` the finer reason within it, `owner` who can mend this very failure. `evidence` are
    the facts it rests on, in the words of whoever said them. Not `is_final`: it may still mend itself, for
    `wait_seconds` more (None: for as long as the attempt may wait at all). `is_retriable`: the same work may be tried
    again as it is, without a word to the agent. `confidence` is from 0 to 1: the cluster's word is certain.
    """

    failure: Failure
    owner: Owner
    code: str
    summary: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    is_final: bool = True
    is_retriable: bool = False
    wait_seconds: float | None = None
    confidence: float = 1.0


class Attempt(Record):
    """One execution of a step. `stage` and `detail` say where it stands while it lives, since `progressed`; it came to
    that stage at `entered`, and to its first one when it was submitted.

    `restores` is the snapshot that its checkpoint directory begins with, `checkpoint` the newest it left; '' is none.
    `secrets` are the names of those its program gets. `smoke`: it is a try on little data; `evaluates`: it measures a
    model and trains none.

    `price_per_hour` is in dollars, of one GPU of `pool` (of one pod where the pool has none). An attempt without a pool
    is of before there were any. `rank` is the rank whose end this is, of one on several nodes.
    """

    id: str
    number: int
    status: Literal["submitted", "running", "succeeded", "failed", "cancelled", "lost"] = "submitted"
    command: str
    snapshot: str
    uses: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    deadline_seconds: float
    resources: Resources = Resources()
    pool: str = ""
    price_per_hour: float = 0.0
    cause: str = "agent"
    submitted: float
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str = ""
    stage: Stage | None = None
    detail: str = ""
    progressed: float | None = None
    entered: float | None = None
    diagnosis: Diagnosis | None = None
    seconds: float = 0.0
    cost_usd: float = 0.0
    rank: int | None = None
    log_bytes: int = 0
    log_complete: bool = False
    gap_bytes: int = 0
    peak_rss_bytes: int | None = None
    outputs: tuple[FileRef, ...] = ()
    restores: str = ""
    checkpoint: str = ""
    secrets: tuple[str, ...] = ()
    smoke: bool = False
    evaluates: bool = False
    best: tuple[Best, ...] = ()

    _read_older = model_validator(mode="before")(with_resources)

    @property
    def memory_bytes(self) -> int | None:
        return self.resources.memory

    @property
    def is_live(self) -> bool:
        return self.status in {"submitted", "running"}


class Step(Record):
    """A program the run executes, every attempt at it so far, and at most one warning of each kind."""

    name: str
    attempts: tuple[Attempt, ...]
    cancelling: bool = False
    cancel_asked: float | None = None
    warnings: tuple[StepWarning, ...] = ()

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]

    @property
    def outputs(self) -> tuple[FileRef, ...]:
        """The files of the last attempt that succeeded; none if none has."""
        return next((one.outputs for one in reversed(self.attempts) if one.status == "succeeded"), ())

    @property
    def checkpoint(self) -> str:
        """The snapshot of the newest checkpoint of any attempt, '' if none left one."""
        found = (one.checkpoint or one.restores for one in reversed(self.attempts))
        return next((snapshot for snapshot in found if snapshot), "")

    @property
    def failed_attempts(self) -> int:
        """Attempts that failed by the program's own doing. Lost and cancelled ones do not count."""
        return sum(attempt.status == "failed" for attempt in self.attempts)


class Wait(Record):
    """Why a run is parked and what ends it: `steps` (by `mode`) or all `researches`, whichever are over first.

    `until` is seconds since the epoch.
    """

    kind: Literal["steps", "research", "model", "message"]
    steps: tuple[str, ...] = ()
    researches: tuple[str, ...] = ()
    mode: Literal["any", "all"] = "all"
    until: float | None = None
    tool_call_id: str = ""


class Spend(Record):
    """What a run has used. Sums of its events, nothing else."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    microdollars: int = 0
    holds: dict[str, int] = Field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def reserved_microdollars(self) -> int:
        return sum(self.holds.values())


class RunState(Versioned):
    """Where a run stands after event `seq`. `ending`: since when it ends early. `unheard`: not yet told the agent.

    `moved` is when its status last changed. `turn_began`: when the turn did that it is in, None between two stretches.
    """

    run: str
    tenant: str
    seq: int = 0
    status: Status = Status.QUEUED
    reason: Reason = Reason.NONE
    detail: str = ""
    turn: int = 0
    goal: str
    model: str
    limits: Limits
    labels: dict[str, str] = Field(default_factory=dict)
    resources: Needs = Needs()
    rules: Terms = Terms()
    fallback_model: str = ""
    effort: Effort = ""
    accepted_by: str = ""
    parent: Parent | None = None
    created: float
    updated: float
    started: float | None = None
    ending: float | None = None
    ended: float | None = None
    moved: float | None = None
    turn_began: float | None = None
    deadline: float | None = None
    snapshot: str
    input_snapshot: str
    plan: tuple[PlanItem, ...] = ()
    steps: dict[str, Step] = Field(default_factory=dict)
    researches: dict[str, Research] = Field(default_factory=dict)
    wait: Wait | None = None
    unheard: tuple[StepWarning, ...] = ()
    spend: Spend = Spend()
    model_call: PendingModelCall | None = None
    open_calls: tuple[OpenCall, ...] = ()
    model_failures: int = 0
    window: Window = Window()
    questioned: int = 0
    forgiven: dict[str, int] = Field(default_factory=dict)
    summary: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    artifacts: tuple[FileRef, ...] = ()

    @property
    def exit_code(self) -> int | None:
        """The exit code for CI, None while the run goes on by itself."""
        return exit_code(self.status, self.reason)

    @property
    def ends_at(self) -> float:
        """The moment, in seconds since the epoch, at which the run is out of time."""
        by_limit = self.created + self.limits.minutes * 60
        return by_limit if self.deadline is None else min(by_limit, self.deadline)

    def exhausted_step(self) -> str | None:
        """The step whose failures have used up the attempts since a person last answered, if there is one."""
        for step in self.steps.values():
            if step.failed_attempts - self.forgiven.get(step.name, 0) >= self.limits.attempts:
                return step.name
        return None

    @property
    def held_tokens(self) -> int:
        """What the researches under way may still use of the run's tokens."""
        return sum(research.limits.tokens or 0 for research in self.live_researches())

    def live_researches(self) -> tuple[Research, ...]:
        return tuple(research for research in self.researches.values() if research.is_live)

    def live_attempts(self) -> tuple[Attempt, ...]:
        return tuple(step.last for step in self.steps.values() if step.last.is_live)

    def live_attempt(self, name: str) -> Attempt | None:
        """The live attempt of that name, if there is one."""
        return next((attempt for attempt in self.live_attempts() if attempt.id == name), None)
