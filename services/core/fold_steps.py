"""What events about steps and their attempts change in a run's state. Pure; a part of `fold`."""

from services.core import events as ev
from services.core.notes import StepWarning
from services.core.records import Attempt, RunState, Step
from services.core.spending import hold, settle

StepEvent = (
    ev.StepSubmitted
    | ev.AttemptStarted
    | ev.AttemptProgressed
    | ev.AttemptWarned
    | ev.AttemptFinished
    | ev.StepCancelRequested
)
"""What a run's log tells of its steps."""


def steps_after(state: RunState, data: StepEvent, time: float) -> dict[str, object]:
    """The changes of `state` by an event about a step, at `time` in seconds since the epoch."""
    match data:
        case ev.StepSubmitted():
            attempt = _submitted(data, time)
            before = state.steps[data.step].attempts if data.step in state.steps else ()
            warnings = state.steps[data.step].warnings if data.step in state.steps else ()
            step = Step(name=data.step, attempts=(*before, attempt), warnings=warnings)
            spend = hold(state.spend, data.attempt, data.reserved_microdollars)
            return {"steps": {**state.steps, data.step: step}, "spend": spend}
        case ev.AttemptStarted():
            return _with_attempt(state, data.step, data.attempt, status="running", started=time)
        case ev.AttemptProgressed():
            return _progressed(state, data, time)
        case ev.AttemptWarned():
            return _warned(state, data)
        case ev.AttemptFinished():
            changes = _with_attempt(
                state,
                data.step,
                data.attempt,
                status=data.outcome,
                ended=time,
                exit_code=data.exit_code,
                reason=data.reason,
                stage=None,
                detail="",
                diagnosis=data.diagnosis,
                rank=data.rank,
                seconds=data.seconds,
                cost_usd=data.cost_usd,
                log_bytes=data.log_bytes,
                log_complete=data.log_complete,
                gap_bytes=data.gap_bytes,
                peak_rss_bytes=data.peak_rss_bytes,
                outputs=tuple(data.outputs),
                checkpoint=data.checkpoint,
                best=tuple(data.best),
            )
            return {**changes, "spend": settle(state.spend, data.attempt, data.cost_usd)}
        case ev.StepCancelRequested():
            step = state.steps[data.step].model_copy(update={"cancelling": True, "cancel_asked": time})
            return {"steps": {**state.steps, data.step: step}}


def _progressed(state: RunState, data: ev.AttemptProgressed, time: float) -> dict[str, object]:
    before = next((one for one in state.steps[data.step].attempts if one.id == data.attempt), None)
    progress: dict[str, object] = {"stage": data.stage, "detail": data.detail, "progressed": time}
    if before is not None and data.stage is not before.stage:
        progress["entered"] = before.submitted if before.stage is None else time
    return _with_attempt(state, data.step, data.attempt, **progress)


def _warned(state: RunState, data: ev.AttemptWarned) -> dict[str, object]:
    warning = StepWarning(step=data.step, attempt=data.attempt, kind=data.kind, text=data.text)
    step = state.steps[data.step]
    step = step.model_copy(update={"warnings": (*step.warnings, warning)})
    return {"steps": {**state.steps, data.step: step}, "unheard": (*state.unheard, warning)}


def _submitted(data: ev.StepSubmitted, time: float) -> Attempt:
    return Attempt(
        id=data.attempt,
        number=data.number,
        command=data.command,
        snapshot=data.snapshot,
        uses=tuple(data.uses),
        env=data.env,
        deadline_seconds=data.deadline_seconds,
        resources=data.resources,
        pool=data.pool,
        price_per_hour=data.price_per_hour,
        cause=data.cause,
        restores=data.restores,
        secrets=data.secrets,
        smoke=data.smoke,
        evaluates=data.evaluates,
        submitted=time,
    )


def _with_attempt(state: RunState, step_name: str, attempt_id: str, **update: object) -> dict[str, object]:
    step = state.steps[step_name]
    attempts = tuple(
        attempt.model_copy(update=update) if attempt.id == attempt_id else attempt for attempt in step.attempts
    )
    changed = step.model_copy(update={"attempts": attempts})
    return {"steps": {**state.steps, step_name: changed}}
