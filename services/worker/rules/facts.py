"""What the rules go by: the step that the agent asks for, and what the run has seen of its script before."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.core.attempts import AttemptRecord
from services.core.pools import Pool, microdollars
from services.core.records import Attempt, RunState, Step
from services.core.resources import Resources
from services.core.taxonomy import Failure
from services.worker.rules.commands import scripts_of
from services.worker.rules.program import Program

MEMORY = frozenset({Failure.OUT_OF_GPU_MEMORY, Failure.OUT_OF_MEMORY})
# An attempt that was stopped for its deadline has run for about so much of it.
_NEARLY = 0.98


@dataclass(frozen=True)
class Asked:
    """A step as it would be submitted."""

    step: str
    command: str
    env: Mapping[str, str]
    deadline_seconds: float
    resources: Resources
    pool: Pool
    smoke: bool = False
    evaluates: bool = False
    resume: bool = False

    @property
    def microdollars(self) -> int:
        """What it could cost."""
        return microdollars(self.pool.price_per_hour, self.resources, self.deadline_seconds)


@dataclass(frozen=True)
class Earlier:
    """An attempt of before, with the step it belongs to and what its first rank has told. `pool` is None where there is
    no pool of that name any more. `is_same`: it ran the files of the program as they are now."""

    step: str
    attempt: Attempt
    record: AttemptRecord
    pool: Pool | None
    is_same: bool = True

    @property
    def scripts(self) -> tuple[str, ...]:
        return scripts_of(self.attempt.command)

    @property
    def microdollars(self) -> int:
        """What it could cost when it was submitted."""
        one = self.attempt
        return microdollars(one.price_per_hour, one.resources, one.deadline_seconds)


@dataclass(frozen=True)
class Facts:
    """All that a rule may know.

    `earlier` are the attempts of all the run's steps, the oldest first. `spent` is the attempt of this step that ran
    out of memory, where none has succeeded since, and `before` the program it ran. `evaluation` are the goal's
    evaluation files among its `inputs`, `altered` those of them that are not what the goal brought.
    """

    asked: Asked
    program: Program
    state: RunState
    line_microdollars: int
    now: float
    earlier: tuple[Earlier, ...] = ()
    spent: Attempt | None = None
    before: Program | None = None
    evaluation: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()

    @property
    def is_dear(self) -> bool:
        """The step could cost more than the line."""
        return self.asked.microdollars > self.line_microdollars

    @property
    def trains(self) -> bool:
        """The step is what the rules take for a training: neither a smoke test nor an evaluation."""
        return not (self.asked.smoke or self.asked.evaluates)

    @property
    def step(self) -> Step | None:
        """The step so far, if it has been submitted before."""
        return self.state.steps.get(self.asked.step)


def ran_out_of_time(attempt: Attempt) -> bool:
    """The attempt was stopped because its deadline had come."""
    if attempt.diagnosis is not None:
        return attempt.diagnosis.failure is Failure.DEADLINE
    return attempt.status == "failed" and attempt.seconds >= _NEARLY * attempt.deadline_seconds


def out_of_memory(step: Step | None) -> Attempt | None:
    """The newest attempt that failed for want of memory, of its GPU or its own, if none has succeeded since."""
    for attempt in reversed(step.attempts if step else ()):
        if attempt.status == "succeeded" and not attempt.smoke:
            return None
        if attempt.diagnosis is not None and attempt.diagnosis.failure in MEMORY:
            return attempt
    return None


def are_alike(one: Pool | None, other: Pool) -> bool:
    """What runs on the one pool would run on the other: the same pool, or the same GPUs, or none on both."""
    if one is None:
        return False
    return one.name == other.name or _kind(one) == _kind(other)


def _kind(pool: Pool) -> tuple[bool, str, int | None]:
    return bool(pool.gpus_per_node), pool.gpu_product, pool.gpu_memory


def dollars(amount: int) -> str:
    """An amount of microdollars, for the agent."""
    return f"${amount / 1_000_000:.2f}"
