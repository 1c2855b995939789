"""The events by which a run stops or ends, as its worker writes them. Pure."""

from collections.abc import Sequence

from services.core import events as ev
from services.core.lifecycle import Reason, Status, exit_code
from services.core.records import FileRef, RunState, Wait
from services.core.store import Draft, Talk
from services.core.waiting import is_satisfied, is_warned_of
from services.worker import conversation as conv
from services.worker.tools.tool import Finished


def closing(state: RunState, finished: Finished) -> list[ev.EventData]:
    """The last events of a run that succeeded."""
    return [
        ev.StatusChanged(source=state.status, target=Status.SUCCEEDED, reason=Reason.FINISHED),
        *last_events(Status.SUCCEEDED, Reason.FINISHED, finished.summary, finished.metrics, finished.artifacts, state),
    ]


def asking(state: RunState, reason: Reason, detail: str) -> list[ev.EventData]:
    """The events by which a run stops until a person answers."""
    return [
        ev.StatusChanged(source=state.status, target=Status.NEEDS_HUMAN, reason=reason, detail=detail),
        ev.Parked(wait=Wait(kind="message")),
        ev.TurnComplete(history_size=state.turn, final_response=detail),
    ]


def last_events(
    status: Status,
    reason: Reason,
    summary: str,
    metrics: dict[str, float],
    artifacts: Sequence[FileRef],
    state: RunState,
) -> list[ev.EventData]:
    """What stands at the end of every run's log."""
    code = exit_code(status, reason)
    assert code is not None, "a final status has an exit code"
    return [
        ev.RunFinished(
            status=status, reason=reason, exit_code=code, summary=summary, metrics=metrics, artifacts=list(artifacts)
        ),
        ev.TurnComplete(history_size=state.turn, final_response=summary or None),
        ev.Shutdown(),
    ]


def joined(waits: Sequence[Wait]) -> Wait:
    """One wait for what calls beside each other wait for: the steps of one of them, and all researches."""
    first = next((wait for wait in waits if wait.kind != "research"), waits[0])
    researches = dict.fromkeys(research for wait in waits for research in wait.researches)
    return first.model_copy(update={"researches": tuple(researches)})


def parked(state: RunState, talk: Sequence[Talk], wait: Wait) -> Draft | None:
    """The move to waiting, unless what the run would wait for, or a message, has come meanwhile."""
    has_come = is_satisfied(wait, state) or is_warned_of(wait, state) or conv.has_said(talk, state.turn)
    if state.status is not Status.RUNNING or has_come:
        return None
    move = ev.StatusChanged(
        source=state.status,
        target=Status.WAITING,
        reason=Reason.WAITING_FOR_RESEARCH if wait.kind == "research" else Reason.WAITING_FOR_STEPS,
        detail="waits for " + ", ".join((*wait.steps, *wait.researches)),
    )
    return Draft((move, ev.Parked(wait=wait)))
