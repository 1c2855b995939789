"""What a run's trace is made of: its spans, from what was appended to its log. Pure; who sends them is `tracing`.

A run is one trace, and a research is in that of its parent. Every id follows from the name of what it stands for: the
API, workers that take over from one another, the controller and the program of a step all add to one trace without
telling each other. A span is made from the event that ends it: a process that dies takes none with it.

```
run ─┬─ queued
     ├─ turn ─┬─ chat <model>
     │        └─ execute_tool <tool> ── run (a research)
     ├─ waiting
     └─ attempt ─┬─ <stage> …
                 ├─ runner ── program …
```
Names and attributes of model and tool calls follow OpenTelemetry's conventions for generative AI.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from services.core import events as ev
from services.core.appended import Appended
from services.core.fold import fold
from services.core.keys import run_of_attempt, split_rank, step_of_attempt
from services.core.lifecycle import Status
from services.core.observations import FinishReport
from services.core.records import Attempt, RunState

Value = str | int | float | bool


@dataclass(frozen=True)
class Span:
    """Something that took from `start` to `end`, in seconds since the epoch. `error` says what went wrong, '' nothing.

    `trace` names the run, `key` the span itself, `parent` the one it is part of ('' for none). `kind` is `client` of a
    call to somebody else, `server` of one that was answered. `service` is whose it is, '' for who sends it; `link` is a
    span of somebody else's trace, as W3C's trace context names it.
    """

    trace: str
    key: str
    parent: str
    name: str
    start: float
    end: float
    kind: Literal["internal", "client", "server"] = "internal"
    error: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    service: str = ""
    link: str = ""


Trace = Callable[[Span], None]
"""Takes a span, to send it on; must be quick, and threads may call it at once."""


def untraced(span: Span) -> None:
    """The `Trace` of a process that sends no spans."""


def trace_id(run: str) -> int:
    """The id of the trace that `run` is. 128 bits, never 0."""
    return int.from_bytes(sha256(f"trace:{run}".encode()).digest()[:16], "big") or 1


def span_id(key: str) -> int:
    """The id of the span that `key` names. 64 bits, never 0."""
    return int.from_bytes(sha256(f"span:{key}".encode()).digest()[:8], "big") or 1


def traceparent(run: str, key: str) -> str:
    """The span as W3C's trace context names it, for a program that traces itself to add to it."""
    return f"00-{trace_id(run):032x}-{span_id(key):016x}-01"


def attempt_key(attempt: str) -> str:
    """The name of an attempt's span; ranks have their attempt's."""
    return f"attempt:{split_rank(attempt)[0]}"


def run_key(run: str) -> str:
    """The name of a run's span."""
    return f"run:{run}"


def spans_of(appended: Appended) -> Iterator[Span]:
    """The spans that end with what was appended."""
    state = appended.before
    if state is None:
        return
    for event in appended.events:
        yield from _ended(state, event)
        state = fold(state, event)


def runner_spans(attempt: str, trace: str, claimed: float | None, report: FinishReport, now: float) -> Iterator[Span]:
    """What a sidecar's last report says: how long it was at work, and how long its program ran. `attempt` may be a
    rank of one."""
    key, names = (
        f"runner:{attempt}",
        {"cohort.attempt": attempt, "cohort.step": step_of_attempt(split_rank(attempt)[0])},
    )
    attributes: dict[str, Value] = {**names, "cohort.log_bytes": report.bytes, "cohort.log_gap_bytes": report.gap_bytes}
    yield Span(trace, key, attempt_key(attempt), "runner", claimed or now, now, attributes=attributes, service="runner")
    if report.started is not None and report.finished is not None:
        error = "" if report.exit_code == 0 else report.reason
        ended: dict[str, Value] = {**names, "cohort.reason": report.reason}
        if report.exit_code is not None:
            ended["process.exit.code"] = report.exit_code
        yield Span(
            trace,
            f"program:{attempt}",
            key,
            "program",
            report.started,
            report.finished,
            error=error,
            attributes=ended,
            service="runner",
        )


def trace_of(state: RunState) -> str:
    """The run whose trace a run is part of: a research's is its parent's."""
    return state.parent.run if state.parent else state.run


def _ended(state: RunState, event: ev.Event) -> Iterator[Span]:
    match event.data:
        case ev.StatusChanged() as move:
            yield from _moved(state, move, event)
        case ev.LlmRequest() if event.turn > state.turn:
            yield from _turn(state, state.updated)
        case ev.LlmCall() | ev.LlmFailed() as call:
            yield _model_call(state, call, event)
        case ev.ToolOutput() as output:
            yield from _tool_call(state, output, event.time)
        case ev.AttemptProgressed() | ev.AttemptFinished() as told:
            attempt = _attempt(state, told.attempt)
            if attempt is not None:
                yield _stage(state, attempt, event)
            if attempt is not None and isinstance(told, ev.AttemptFinished):
                yield _finished(state, attempt, told, event.time)
        case _:
            return


def _moved(state: RunState, move: ev.StatusChanged, event: ev.Event) -> Iterator[Span]:
    if move.source is Status.QUEUED:
        yield _part(state, f"queued:{state.run}", "queued", state.created, event.time)
    elif move.source.is_parked and state.moved is not None:
        wait: dict[str, Value] = {"cohort.status": state.status, "cohort.reason": state.reason}
        yield _part(state, f"waiting:{state.run}:{event.seq}", "waiting", state.moved, event.time, wait)
    if move.target not in {Status.RUNNING, Status.WAITING}:
        yield from _turn(state, event.time)
    if move.target.is_final:
        yield _run(state, move, event.time)


def _run(state: RunState, move: ev.StatusChanged, time: float) -> Span:
    parent = _tool_key(state.parent.run, state.parent.tool_call_id) if state.parent else ""
    spent = state.spend
    attributes: dict[str, Value] = {
        "cohort.run": state.run,
        "cohort.tenant": state.tenant,
        "cohort.status": move.target,
        "cohort.reason": move.reason,
        "cohort.turns": state.turn,
        "cohort.dollars": spent.microdollars / 1e6,
        "gen_ai.usage.input_tokens": spent.prompt_tokens,
        "gen_ai.usage.output_tokens": spent.completion_tokens,
    }
    error = "" if move.target is Status.SUCCEEDED else str(move.reason or move.target)
    name = "research" if state.parent else "run"
    return Span(
        trace_of(state), run_key(state.run), parent, name, state.created, time, error=error, attributes=attributes
    )


def _turn(state: RunState, end: float) -> Iterator[Span]:
    if state.turn_began is not None:
        attributes: dict[str, Value] = {"cohort.turn": state.turn}
        yield _part(state, _turn_key(state.run, state.turn), "turn", state.turn_began, end, attributes)


def _model_call(state: RunState, call: ev.LlmCall | ev.LlmFailed, event: ev.Event) -> Span:
    pending = state.model_call
    start = pending.since if pending and pending.since is not None else event.time
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": call.model,
        "cohort.dollars": call.cost_usd,
    }
    if isinstance(call, ev.LlmCall):
        attributes |= {
            "gen_ai.usage.input_tokens": call.prompt_tokens,
            "gen_ai.usage.output_tokens": call.completion_tokens,
            "gen_ai.response.finish_reasons": call.finish_reason,
            "cohort.cache_read_tokens": call.cache_read_tokens,
        }
    return Span(
        trace_of(state),
        f"call:{call.call}",
        _turn_key(state.run, state.turn),
        f"chat {call.model}",
        start,
        event.time,
        kind="client",
        error=call.failure if isinstance(call, ev.LlmFailed) else "",
        attributes=_named(state, attributes),
    )


def _tool_call(state: RunState, output: ev.ToolOutput, time: float) -> Iterator[Span]:
    opened = next((call for call in state.open_calls if call.tool_call_id == output.tool_call_id), None)
    if opened is None or opened.since is None:
        return
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": output.tool,
        "gen_ai.tool.call.id": output.tool_call_id,
    }
    yield Span(
        trace_of(state),
        _tool_key(state.run, output.tool_call_id),
        _turn_key(state.run, state.turn),
        f"execute_tool {output.tool}",
        opened.since,
        time,
        error="" if output.success else "error",
        attributes=_named(state, attributes),
    )


def _stage(state: RunState, attempt: Attempt, event: ev.Event) -> Span:
    start = attempt.submitted if attempt.progressed is None else attempt.progressed
    attributes: dict[str, Value] = {"cohort.attempt": attempt.id, "cohort.pool": attempt.pool}
    if attempt.detail:
        attributes["cohort.detail"] = attempt.detail
    key, name = f"stage:{attempt.id}:{event.seq}", attempt.stage or "submitted"
    return Span(
        trace_of(state), key, attempt_key(attempt.id), name, start, event.time, attributes=_named(state, attributes)
    )


def _finished(state: RunState, attempt: Attempt, told: ev.AttemptFinished, time: float) -> Span:
    attributes: dict[str, Value] = {
        "cohort.step": step_of_attempt(attempt.id),
        "cohort.attempt": attempt.id,
        "cohort.pool": attempt.pool,
        "cohort.nodes": attempt.resources.nodes,
        "cohort.outcome": told.outcome,
        "cohort.reason": told.reason,
        "cohort.dollars": told.cost_usd,
        "cohort.log_complete": told.log_complete,
    }
    if told.exit_code is not None:
        attributes["process.exit.code"] = told.exit_code
    if told.diagnosis is not None:
        attributes["cohort.failure"] = told.diagnosis.failure
    return Span(
        trace_of(state),
        attempt_key(attempt.id),
        run_key(run_of_attempt(attempt.id)),
        "attempt",
        attempt.submitted,
        time,
        error="" if told.outcome == "succeeded" else told.reason or told.outcome,
        attributes=_named(state, attributes),
    )


def _attempt(state: RunState, name: str) -> Attempt | None:
    step = state.steps.get(step_of_attempt(name))
    return next((one for one in step.attempts if one.id == name), None) if step else None


def _part(
    state: RunState, key: str, name: str, start: float, end: float, attributes: Mapping[str, Value] | None = None
) -> Span:
    """A part of the run itself."""
    return Span(trace_of(state), key, run_key(state.run), name, start, end, attributes=_named(state, attributes or {}))


def _named(state: RunState, attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {"cohort.run": state.run, "cohort.tenant": state.tenant, **attributes}


def _turn_key(run: str, turn: int) -> str:
    return f"turn:{run}:{turn}"


def _tool_key(run: str, tool_call_id: str) -> str:
    return f"tool:{run}:{tool_call_id}"
