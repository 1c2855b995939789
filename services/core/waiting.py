"""When a parked run goes on. Pure: values in, values out."""

from services.core import events as ev
from services.core.lifecycle import Status
from services.core.records import RunState, Wait


def is_satisfied(wait: Wait, state: RunState) -> bool:
    """True when the steps a run waits for are over (all of them, or any), or all its researches are."""
    return _steps_are_over(wait, state) or _researches_are_over(wait, state)


def _steps_are_over(wait: Wait, state: RunState) -> bool:
    if wait.kind != "steps":
        return False
    over = [not (name in state.steps and state.steps[name].last.is_live) for name in wait.steps]
    return any(over) if wait.mode == "any" else all(over)


def _researches_are_over(wait: Wait, state: RunState) -> bool:
    live = {research.run for research in state.live_researches()}
    return bool(wait.researches) and live.isdisjoint(wait.researches)


def is_warned_of(wait: Wait, state: RunState) -> bool:
    """True while a warning of one of the steps a run waits for has not been told to its agent."""
    return wait.kind == "steps" and any(warning.step in wait.steps for warning in state.unheard)


def is_waited_for(state: RunState, step: str) -> bool:
    """Whether the run is parked until something becomes of this step."""
    return state.wait is not None and state.wait.kind == "steps" and step in state.wait.steps


def wake_up(state: RunState, added: ev.EventData | None = None) -> ev.StatusChanged | None:
    """The move that an outside fact causes in a parked run, None where it goes on sleeping.

    A message wakes every parked run, whatever it waits for; a warning one that waits for the step it is of.
    """
    if isinstance(added, ev.MessageReceived) and state.status.is_parked:
        return ev.StatusChanged(source=state.status, target=Status.RUNNING, detail="a message came")
    if isinstance(added, ev.AttemptWarned) and state.status is Status.WAITING and is_waited_for(state, added.step):
        return ev.StatusChanged(source=state.status, target=Status.RUNNING, detail=f"a warning came: {added.kind}")
    if state.status is Status.WAITING and state.wait and is_satisfied(state.wait, state):
        return ev.StatusChanged(source=state.status, target=Status.RUNNING, detail="what it waited for is over")
    return None


def wake_delay(before: RunState, after: RunState, now: float) -> float | None:
    """Seconds from `now` until somebody must look at the run.

    None: as it was. `inf`: never again. Times are seconds since the epoch.
    """
    if after.status.is_final:
        return float("inf")
    if after.status.is_parked:
        until = after.ends_at if after.wait is None or after.wait.until is None else after.wait.until
        return max(0.0, min(until, after.ends_at) - now)
    if before.status is not after.status or after.status is Status.CANCELLING:
        return 0.0
    return None
