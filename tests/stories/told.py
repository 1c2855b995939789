"""How each story must have gone, and what holds for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.rules import Rule
from services.core.taxonomy import Failure

E = TypeVar("E", bound=ev.EventData)
_MOST_TOKENS = 60_000
# An attempt that its deadline ended has written no line that says so.
_WITHOUT_EVIDENCE = {Failure.HANG, Failure.DEADLINE}


@dataclass(frozen=True)
class Told:
    """A story as it must have gone: for each step the attempts in order, by the class of their failure or `succeeded`;
    the most turns of the model; what the rules refused; and where the run stands at last."""

    steps: Mapping[str, Sequence[str]]
    turns: int
    refused: Sequence[Rule] = ()
    status: Status = Status.SUCCEEDED
    reason: Reason = Reason.FINISHED


def _trained(*attempts: str, turns: int, refused: Sequence[Rule] = ()) -> Told:
    return Told({"train": (*attempts, "succeeded")}, turns, refused)


DEBUGGED = {
    "out-of-memory": _trained("out_of_memory", turns=7, refused=[Rule.EFFECTIVE_BATCH]),
    "shape-error": _trained("shape_mismatch", turns=9),
    "wrong-column": _trained("data_schema", turns=8),
    "missing-package": _trained("missing_module", turns=7),
    "nan": _trained("numerics", turns=9),
    # Its first attempt ended with exit code 0.
    "silent-nan": _trained("succeeded", turns=8),
    "hang": _trained("hang", turns=8),
    "data-not-found": _trained("file_not_found", turns=8),
    "checkpoint-mismatch": Told({"pretrain": ["succeeded"], "finetune": ["checkpoint_mismatch", "succeeded"]}, turns=7),
    "deadline": _trained("deadline", turns=8, refused=[Rule.TIMEOUT]),
    "injection": _trained("data_content", turns=10),
    "healthy": _trained(turns=4),
    "diverging": _trained("cancelled", turns=11),
}

STOPPED = {
    "same-again": Told({"train": ["code_error"] * 4}, 9, status=Status.NEEDS_HUMAN, reason=Reason.IN_CIRCLES),
    "ladder": Told({"train": ["out_of_memory"] * 4}, 5, status=Status.NEEDS_HUMAN, reason=Reason.IN_CIRCLES),
    "five-failures": Told(
        {"train": ["missing_module", "file_not_found", "shape_mismatch", "data_schema", "config"]},
        10,
        status=Status.NEEDS_HUMAN,
        reason=Reason.ATTEMPTS_EXHAUSTED,
    ),
    "open-plan": Told({}, 4, status=Status.FAILED, reason=Reason.INCOMPLETE),
    "unproven": Told({"train": ["succeeded"]}, 4, status=Status.FAILED, reason=Reason.INCOMPLETE),
    "gives-up": Told({"train": ["succeeded"]}, 3, status=Status.NEEDS_HUMAN, reason=Reason.ASKED),
}


def went_as(told: Told, events: Sequence[ev.EventData]) -> None:
    """Check what was told, and what holds in every story, on a run that rests."""
    ended = [event for event in events if isinstance(event, ev.StatusChanged)]
    assert told.status in {ended[-1].target, *(one.status for one in events if isinstance(one, ev.RunFinished))}
    assert told.reason in {one.reason for one in ended}
    attempts: dict[str, list[str]] = {}
    for event in _of(ev.AttemptFinished, events):
        attempts.setdefault(event.step, []).append(event.diagnosis.failure if event.diagnosis else event.outcome)
    assert attempts == {step: list(each) for step, each in told.steps.items()}
    assert [event.rule for event in _of(ev.RuleRefused, events)] == list(told.refused)
    calls = _of(ev.LlmCall, events)
    assert len(calls) <= told.turns
    assert sum(call.total_tokens for call in calls) <= _MOST_TOKENS
    every_failure_was_diagnosed(events)
    nobody_was_woken(events)


def every_failure_was_diagnosed(events: Sequence[ev.EventData]) -> None:
    """Each failed attempt has on record what it failed of, whose business that is, on which evidence, and what may
    help."""
    for event in _of(ev.AttemptFinished, events):
        if event.outcome == "failed":
            found = event.diagnosis
            assert found is not None
            assert found.owner is found.failure.owner
            assert found.remedy
            assert found.evidence or found.failure in _WITHOUT_EVIDENCE


def nobody_was_woken(events: Sequence[ev.EventData]) -> None:
    """No run went on, and no model was asked, while a step that it waited for was at work and gave no warning."""
    live: set[str] = set()
    waits = False
    for event in events:
        match event:
            case ev.StepSubmitted():
                live.add(event.attempt)
            case ev.AttemptFinished():
                live.discard(event.attempt)
            case ev.AttemptWarned():
                waits = False
            case ev.Parked(wait=wait):
                waits = wait.kind == "steps"
            case ev.StatusChanged(source=Status.WAITING):
                assert not (waits and live), f"woken while {live} ran"
                waits = False
            case ev.LlmRequest():
                assert not waits, "asked while it waited"


def nothing_was_repeated(events: Sequence[ev.EventData]) -> None:
    """No attempt that the agent asked for was the same work as the one before it."""
    before: dict[str, object] = {}
    for event in _of(ev.StepSubmitted, events):
        work = (
            event.command,
            event.snapshot,
            event.env,
            event.resources,
            event.deadline_seconds,
            event.uses,
            event.restores,
        )
        assert event.cause == "infrastructure" or before.get(event.step) != work, f"{event.step} was tried blindly"
        before[event.step] = work


def submitted(events: Sequence[ev.EventData]) -> list[ev.StepSubmitted]:
    """The attempts that were asked for, in order."""
    return _of(ev.StepSubmitted, events)


def answers(events: Sequence[ev.EventData], tool: str) -> list[str]:
    """What a tool has answered, in order."""
    return [event.output for event in _of(ev.ToolOutput, events) if event.tool == tool]


def _of(kind: type[E], events: Sequence[ev.EventData]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]
