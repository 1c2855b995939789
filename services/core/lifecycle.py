"""The life of a run as a table. Nothing else decides whether a status may follow another.

ARCHITECTURE.md's diagram and the tests of legal moves are generated from `TRANSITIONS`.
"""

from dataclasses import dataclass
from enum import StrEnum

from services.core.errors import IllegalTransition


class Status(StrEnum):
    """Where a run stands. `cancelling` is every early end: live attempts are being stopped, for the reason given."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    NEEDS_HUMAN = "needs_human"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    OVER_LIMIT = "over_limit"

    @property
    def is_final(self) -> bool:
        """Nothing follows: the run is over."""
        return self in FINAL

    @property
    def is_parked(self) -> bool:
        """Nobody works on it until something outside happens or its wake-up time comes."""
        return self in {Status.WAITING, Status.NEEDS_HUMAN}


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT, Status.OVER_LIMIT})


class Reason(StrEnum):
    """Why a run stands where it stands; stable codes, part of the API."""

    NONE = ""
    FINISHED = "finished"
    WAITING_FOR_STEPS = "waiting_for_steps"
    WAITING_FOR_MODEL = "waiting_for_model"
    ASKED = "asked"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    IN_CIRCLES = "in_circles"
    INCOMPLETE = "incomplete"
    STEP_INFRASTRUCTURE = "step_infrastructure"
    CANCELLED_BY_USER = "cancelled_by_user"
    DEADLINE = "deadline"
    TURN_LIMIT = "turn_limit"
    TOKEN_LIMIT = "token_limit"  # noqa: S105, no secret
    DOLLAR_LIMIT = "dollar_limit"
    TENANT_BUDGET = "tenant_budget"
    MODEL_AUTH = "model_auth"
    MODEL_CREDIT = "model_credit"
    MODEL_REFUSED = "model_refused"
    MODEL_UNAVAILABLE = "model_unavailable"
    MODEL_RUBBISH = "model_rubbish"
    CONTEXT_EXCEEDED = "context_exceeded"
    POISON = "poison"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Transition:
    """One legal move, and what makes it."""

    source: Status
    target: Status
    cause: str


_Q, _R, _W, _H, _C = Status.QUEUED, Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN, Status.CANCELLING

TRANSITIONS: tuple[Transition, ...] = (
    Transition(_Q, _R, "a worker takes the first turn"),
    Transition(_R, _W, "the run parks: for a step, or for a model that asks to wait"),
    Transition(_R, _H, "the agent asks, or is stopped, and a person has to answer"),
    Transition(_R, Status.SUCCEEDED, "finish is claimed and every claim holds"),
    Transition(_W, _R, "a wake-up condition holds, a message comes, or the wait's deadline passes"),
    Transition(_H, _R, "a person answers with a message"),
    Transition(_Q, _C, "cancel is asked for, or the deadline passes, before the first turn"),
    Transition(_R, _C, "cancel is asked for, a limit is reached, or an error comes that the model cannot repair"),
    Transition(_W, _C, "cancel is asked for, or the deadline passes"),
    Transition(_H, _C, "cancel is asked for, or the deadline passes"),
    Transition(_C, Status.CANCELLED, "the last attempt is gone, and a person or a pipeline wanted the end"),
    Transition(_C, Status.TIMED_OUT, "the last attempt is gone, and time was up"),
    Transition(_C, Status.OVER_LIMIT, "the last attempt is gone, and a limit was reached"),
    Transition(_C, Status.FAILED, "the last attempt is gone, and an error ended the run"),
)

_LEGAL = frozenset((row.source, row.target) for row in TRANSITIONS)


def check_move(source: Status, target: Status) -> None:
    """Raise `IllegalTransition` unless `source` → `target` is a row of the table. Staying is always legal."""
    if source != target and (source, target) not in _LEGAL:
        raise IllegalTransition(f"a run cannot go from {source} to {target}")


_ENDS = {
    Reason.CANCELLED_BY_USER: Status.CANCELLED,
    Reason.DEADLINE: Status.TIMED_OUT,
    Reason.TURN_LIMIT: Status.OVER_LIMIT,
    Reason.TOKEN_LIMIT: Status.OVER_LIMIT,
    Reason.DOLLAR_LIMIT: Status.OVER_LIMIT,
    Reason.TENANT_BUDGET: Status.OVER_LIMIT,
}


def ending(reason: Reason) -> Status:
    """The final status of a run that is being wound up for `reason`."""
    return _ENDS.get(reason, Status.FAILED)


_EXIT_CODES = {
    Status.SUCCEEDED: 0,
    Status.FAILED: 1,
    Status.CANCELLED: 4,
    Status.TIMED_OUT: 5,
    Status.OVER_LIMIT: 6,
    Status.NEEDS_HUMAN: 7,
}
_INFRASTRUCTURE = frozenset({Reason.STEP_INFRASTRUCTURE, Reason.MODEL_UNAVAILABLE, Reason.POISON, Reason.INTERNAL})
_BUDGET = frozenset({Reason.MODEL_CREDIT})


def exit_code(status: Status, reason: Reason) -> int | None:
    """The exit code that tells CI how a run ended; None while it goes on by itself.

    0 succeeded, 1 failed, 3 infrastructure, 4 cancelled, 5 timed out, 6 budget or quota, 7 needs a human. (2, bad
    usage, is the command line's own.)
    """
    if status is Status.FAILED and reason in _INFRASTRUCTURE:
        return 3
    if status is Status.FAILED and reason in _BUDGET:
        return 6
    return _EXIT_CODES.get(status)


def diagram() -> str:
    """The table as a Mermaid state diagram, as it stands in ARCHITECTURE.md."""
    lines = ["stateDiagram-v2", f"    [*] --> {Status.QUEUED}: accepted"]
    lines += [f"    {row.source} --> {row.target}: {row.cause}" for row in TRANSITIONS]
    lines += [f"    {status} --> [*]" for status in Status if status.is_final]
    return "\n".join(lines)
