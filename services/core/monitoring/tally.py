"""What an appended event counts for: a table from its class to a small function. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.core import events as ev
from services.core.appended import Appended
from services.core.lifecycle import Reason, Status
from services.core.monitoring import run_series as of
from services.core.monitoring.series import Series
from services.core.records import Attempt, RunState, Stage, Step

OK, ERROR = "ok", "error"
TO_RUNNING = "to_running"
NO_REASON = "none"
UNDIAGNOSED = "unknown"
BEFORE_RUNNING = frozenset(Stage) - {Stage.RUNNING, Stage.FINISHING}
_NAMELESS = "unknown"


class Count(NamedTuple):
    """So much more of one series: what a counter grows by, or what a histogram takes in. Labels are as they stand in
    the event, as many as there may be."""

    series: Series
    labels: tuple[str, ...] = ()
    amount: float = 1.0


@dataclass(frozen=True)
class Moment:
    """One event among those appended together, and the run's states before and after all of them."""

    event: ev.Event
    before: RunState | None
    after: RunState

    @property
    def time(self) -> float:
        return self.event.time


def tally(appended: Appended) -> Iterator[Count]:
    """Everything that the events count for."""
    for event in appended.events:
        kind = type(event.data)
        yield Count(of.EVENTS, (_NAMELESS if kind is ev.Unknown else event.data.event_type,))
        counts = TABLE.get(kind)
        if counts is not None:
            yield from counts(event.data, Moment(event, appended.before, appended.after))


# --- The run ----------------------------------------------------------------------------------------------------------


def _accepted(data: ev.RunAccepted, _: Moment) -> Iterator[Count]:
    yield Count(of.RUNS_SUBMITTED, (data.tenant,)) if data.parent is None else Count(of.RESEARCHES)


def _moved(data: ev.StatusChanged, moment: Moment) -> Iterator[Count]:
    run = moment.after
    if run.parent is not None:
        return
    if data.source is Status.QUEUED and data.target is Status.RUNNING:
        yield Count(of.RUN_QUEUE_SECONDS, (), moment.time - run.created)
    if data.target.is_final:
        yield Count(of.RUNS_ENDED, (data.target, _reason(data.reason)))
        yield Count(of.RUN_SECONDS, (data.target,), moment.time - run.created)


def _reason(reason: Reason) -> str:
    # To Prometheus an empty label is none.
    return reason or NO_REASON


# --- The model and its tools ------------------------------------------------------------------------------------------


def _asked(_: ev.LlmRequest, moment: Moment) -> Iterator[Count]:
    # A call that is made again in the same turn begins none.
    if moment.event.turn > (moment.before.turn if moment.before else 0):
        yield Count(of.TURNS)


def _replied(data: ev.LlmCall, moment: Moment) -> Iterator[Count]:
    yield Count(of.MODEL_CALLS, (data.model, OK))
    yield Count(of.MODEL_CALL_SECONDS, (data.model,), data.latency_ms / 1000)
    if data.first_token_ms is not None:
        yield Count(of.MODEL_FIRST_TOKEN_SECONDS, (data.model,), data.first_token_ms / 1000)
    for kind, tokens in zip(TOKENS, _tokens(data), strict=True):
        yield Count(of.MODEL_TOKENS, (data.model, kind), tokens)
    yield Count(of.MODEL_DOLLARS, (data.model, moment.after.tenant), data.cost_usd)


TOKENS = ("prompt", "completion", "cache_read", "cache_write")


def _tokens(data: ev.LlmCall) -> tuple[int, ...]:
    return data.prompt_tokens, data.completion_tokens, data.cache_read_tokens, data.cache_creation_tokens


def _failed(data: ev.LlmFailed, moment: Moment) -> Iterator[Count]:
    yield Count(of.MODEL_CALLS, (data.model, data.failure))
    yield Count(of.MODEL_DOLLARS, (data.model, moment.after.tenant), data.cost_usd)


def _answered(data: ev.ToolOutput, _: Moment) -> Iterator[Count]:
    yield Count(of.TOOL_CALLS, (data.tool, OK if data.success else ERROR))


def _refused(data: ev.RuleRefused, _: Moment) -> Iterator[Count]:
    yield Count(of.RULES_REFUSED, (data.rule,))


def _nudged(_: ev.AgentNudged, __: Moment) -> Iterator[Count]:
    yield Count(of.AGENT_NUDGES)


def _questioned(_: ev.CompletionQuestioned, __: Moment) -> Iterator[Count]:
    yield Count(of.COMPLETIONS_QUESTIONED)


# --- Steps ------------------------------------------------------------------------------------------------------------


def _submitted(data: ev.StepSubmitted, _: Moment) -> Iterator[Count]:
    yield Count(of.STEPS_SUBMITTED, (data.pool, data.cause))


def _progressed(data: ev.AttemptProgressed, moment: Moment) -> Iterator[Count]:
    was = _attempt(moment.before, data)
    if was is not None and was.stage is not data.stage:
        yield from _left_stage(was, moment.time)


def _started(data: ev.AttemptStarted, moment: Moment) -> Iterator[Count]:
    was = _attempt(moment.before, data)
    if was is not None and was.status == "submitted":
        yield from _left_stage(was, moment.time)
        yield Count(of.ATTEMPT_STAGE_SECONDS, (was.pool, TO_RUNNING), _since(was.submitted, moment.time))


def _warned(data: ev.AttemptWarned, _: Moment) -> Iterator[Count]:
    yield Count(of.ATTEMPT_WARNINGS, (data.kind,))


def _finished(data: ev.AttemptFinished, moment: Moment) -> Iterator[Count]:
    attempt = _attempt(moment.before, data)
    if attempt is None:
        return
    yield Count(of.ATTEMPTS_ENDED, (attempt.pool, data.outcome))
    yield from _last_stage(data, attempt, moment)
    if data.outcome in {"failed", "lost"}:
        yield Count(of.ATTEMPT_FAILURES, (data.diagnosis.failure if data.diagnosis else UNDIAGNOSED,))
    if data.exited is not None:
        yield Count(of.DIAGNOSIS_SECONDS, (), _since(data.exited, moment.time))
    if data.outcome == "cancelled" and (asked := _end_asked(data, moment.before)) is not None:
        yield Count(of.CANCEL_SECONDS, (), _since(asked, moment.time))
    yield from _used(data, attempt, moment.after.tenant)
    yield from _log_lost(data, attempt)


def _last_stage(data: ev.AttemptFinished, attempt: Attempt, moment: Moment) -> Iterator[Count]:
    """The way to the program's start, where that was not seen: a short program is over before anybody looks."""
    if attempt.status != "submitted":
        return
    ran = data.exited is not None and data.seconds > 0
    started = max(attempt.submitted, (data.exited or 0.0) - data.seconds) if ran else moment.time
    yield from _left_stage(attempt, started)
    if ran:
        yield Count(of.ATTEMPT_STAGE_SECONDS, (attempt.pool, TO_RUNNING), _since(attempt.submitted, started))


def _used(data: ev.AttemptFinished, attempt: Attempt, tenant: str) -> Iterator[Count]:
    if data.seconds:
        yield Count(of.ATTEMPT_SECONDS, (attempt.pool, data.outcome), data.seconds)
    yield Count(of.STEP_DOLLARS, (attempt.pool, tenant), data.cost_usd)
    if gpu_seconds := attempt.resources.total_gpus * data.seconds:
        yield Count(of.GPU_SECONDS, (attempt.pool, tenant, data.outcome), gpu_seconds)
        if data.outcome != "succeeded":
            yield Count(of.GPU_WASTED_SECONDS, (attempt.pool, data.outcome), gpu_seconds)


def _log_lost(data: ev.AttemptFinished, attempt: Attempt) -> Iterator[Count]:
    has_run = attempt.started is not None or data.seconds or data.log_bytes or data.gap_bytes
    if has_run and not data.log_complete:
        yield Count(of.LOGS_INCOMPLETE)
    if data.gap_bytes:
        yield Count(of.LOG_GAP_BYTES, (), data.gap_bytes)


def _left_stage(attempt: Attempt, time: float) -> Iterator[Count]:
    """The stage in which the attempt stood until `time`, where that comes before its program's start."""
    if attempt.status == "submitted" and attempt.stage in BEFORE_RUNNING and attempt.entered is not None:
        yield Count(of.ATTEMPT_STAGE_SECONDS, (attempt.pool, attempt.stage), _since(attempt.entered, time))


def _end_asked(data: ev.AttemptFinished, run: RunState | None) -> float | None:
    """When it was first asked that the attempt, or its run, ends."""
    asked = (run.steps[data.step].cancel_asked, run.ending) if run else ()
    return min((time for time in asked if time is not None), default=None)


def _attempt(
    run: RunState | None, data: ev.AttemptProgressed | ev.AttemptStarted | ev.AttemptFinished
) -> Attempt | None:
    step: Step | None = run.steps.get(data.step) if run else None
    return next((one for one in step.attempts if one.id == data.attempt), None) if step else None


def _since(began: float, time: float) -> float:
    # Two machines' clocks may differ.
    return max(0.0, time - began)


TABLE: Mapping[type[ev.EventData], Callable[[Any, Moment], Iterator[Count]]] = {
    ev.RunAccepted: _accepted,
    ev.StatusChanged: _moved,
    ev.LlmRequest: _asked,
    ev.LlmCall: _replied,
    ev.LlmFailed: _failed,
    ev.ToolOutput: _answered,
    ev.RuleRefused: _refused,
    ev.AgentNudged: _nudged,
    ev.CompletionQuestioned: _questioned,
    ev.StepSubmitted: _submitted,
    ev.AttemptProgressed: _progressed,
    ev.AttemptStarted: _started,
    ev.AttemptWarned: _warned,
    ev.AttemptFinished: _finished,
}
