"""A run's state is the fold of its events. Pure: no clock, no store.

Events that only tell a story (chunks, outputs, logs) change nothing but `seq`. A wake-up is part of the fold: the
event that satisfies a parked run's condition also moves it to `running`, in the same append, whoever writes it.
"""

import math
from collections.abc import Iterable
from functools import reduce

from services.core import events as ev
from services.core.fold_steps import steps_after
from services.core.lifecycle import Status, check_move
from services.core.records import OpenCall, PendingModelCall, RunState
from services.core.research import Research
from services.core.spending import hold, settle, with_tokens
from services.core.window import Window

CONTEXT = "context"
"""The failure of a model call whose prompt was too long for the model."""

WAITING_TOOL = "wait_for_steps"
"""The tool whose answer tells the agent of the warnings that came meanwhile."""

# A provider that counts otherwise than so does not count the prompt.
_LEAST_RATIO, _MOST_RATIO = 0.3, 3.0
# What is sent instead of a prompt that was too long.
_SHRINK = 0.7

# Frequent events that change nothing but `seq`: the log alone carries them, no new snapshot is written.
QUIET = (ev.AssistantChunk, ev.ToolLog)


def first_state(run: str, accepted: ev.RunAccepted, time: float) -> RunState:
    """The state after seq 1."""
    return RunState(
        run=run,
        tenant=accepted.tenant,
        seq=1,
        goal=accepted.goal,
        model=accepted.model,
        limits=accepted.limits,
        labels=accepted.labels,
        resources=accepted.resources,
        rules=accepted.rules,
        fallback_model=accepted.fallback_model,
        effort=accepted.effort,
        accepted_by=accepted.accepted_by,
        parent=accepted.parent,
        created=time,
        updated=time,
        deadline=accepted.deadline,
        snapshot=accepted.snapshot,
        input_snapshot=accepted.snapshot,
    )


def fold(state: RunState, event: ev.Event) -> RunState:
    """The state after `event`, which must be the next one. Raises `IllegalTransition` on a move the table forbids."""
    if event.seq != state.seq + 1:
        raise ValueError(f"event {event.seq} does not follow {state.seq}")
    changes = _changes(state, event.data, event.time)
    turn = max(state.turn, event.turn)
    return state.model_copy(update={**changes, "seq": event.seq, "turn": turn, "updated": event.time})


def fold_all(state: RunState, events: Iterable[ev.Event]) -> RunState:
    """The state after every one of `events`, in order."""
    return reduce(fold, events, state)


def _changes(state: RunState, data: ev.EventData, time: float) -> dict[str, object]:  # noqa: C901, a table
    match data:
        case ev.StatusChanged():
            return _moved(state, data, time)
        case ev.ToolCall() | ev.ToolStateChange() | ev.ToolOutput():
            return _tool_calls(state, data)
        case ev.LlmRequest() | ev.LlmCall() | ev.LlmFailed():
            return _model_calls(state, data)
        case (
            ev.StepSubmitted()
            | ev.AttemptStarted()
            | ev.AttemptProgressed()
            | ev.AttemptWarned()
            | ev.AttemptFinished()
            | ev.StepCancelRequested()
        ):
            return steps_after(state, data, time)
        case ev.ResearchStarted() | ev.ResearchFinished():
            return _researches(state, data, time)
        case ev.ModelChanged() | ev.EffortDropped():
            return _mended(data)
        case ev.WorkspaceChanged():
            return {"snapshot": data.snapshot}
        case ev.Compacted():
            return {"window": state.window.model_copy(update={"cuts": data.cuts})}
        case ev.CompletionQuestioned():
            return {"questioned": state.questioned + 1}
        case ev.PlanUpdate():
            return {"plan": tuple(data.plan)}
        case ev.Ready():
            return {"started": state.started or time}
        case ev.RunFinished():
            return {"summary": data.summary, "metrics": data.metrics, "artifacts": tuple(data.artifacts)}
        case ev.Parked():
            return {"wait": data.wait}
        case _:
            return {}


def _moved(state: RunState, data: ev.StatusChanged, time: float) -> dict[str, object]:
    check_move(state.status, data.target)
    changes: dict[str, object] = {"status": data.target, "reason": data.reason, "detail": data.detail}
    if state.status is Status.NEEDS_HUMAN and data.target is Status.RUNNING:
        changes["forgiven"] = {name: step.failed_attempts for name, step in state.steps.items()}
        changes["questioned"] = 0
    if data.target is Status.CANCELLING:
        changes["ending"] = time
    if data.target.is_final:
        changes |= {"ended": time, "open_calls": (), "model_call": None, "wait": None}
    return changes


def _tool_calls(state: RunState, data: ev.ToolCall | ev.ToolStateChange | ev.ToolOutput) -> dict[str, object]:
    match data:
        case ev.ToolCall():
            call = OpenCall(tool_call_id=data.tool_call_id, tool=data.tool, index=len(state.open_calls))
            return {"open_calls": (*state.open_calls, call)}
        case ev.ToolStateChange() if data.state == "running":
            return {"open_calls": tuple(_begun(call, data.tool_call_id) for call in state.open_calls)}
        case ev.ToolOutput():
            left = tuple(call for call in state.open_calls if call.tool_call_id != data.tool_call_id)
            # A tool that parked the run finds its wait again until it has answered.
            answered = state.wait is not None and state.wait.tool_call_id == data.tool_call_id
            heard: dict[str, object] = {"unheard": ()} if data.tool == WAITING_TOOL else {}
            return {"open_calls": left, "wait": None if answered else state.wait, **heard}
        case _:
            return {}


def _begun(call: OpenCall, tool_call_id: str) -> OpenCall:
    return call.model_copy(update={"begun": True}) if call.tool_call_id == tool_call_id else call


def _model_calls(state: RunState, data: ev.LlmRequest | ev.LlmCall | ev.LlmFailed) -> dict[str, object]:
    spend = state.spend
    match data:
        case ev.LlmRequest():
            pending = PendingModelCall(
                call=data.call,
                reserved_microdollars=data.reserved_microdollars,
                estimated_tokens=data.estimated_tokens,
            )
            return {"model_call": pending, "spend": hold(spend, data.call, data.reserved_microdollars)}
        case ev.LlmCall():
            counted = with_tokens(spend.model_copy(update={"calls": spend.calls + 1}), data)
            settled = settle(counted, data.call, data.cost_usd)
            return {"model_call": None, "model_failures": 0, "spend": settled, "window": _measured(state, data)}
        case ev.LlmFailed():
            settled = settle(spend.model_copy(update={"calls": spend.calls + 1}), data.call, data.cost_usd)
            failures = state.model_failures + 1
            return {"model_call": None, "model_failures": failures, "spend": settled, "window": _refused(state, data)}


def _measured(state: RunState, data: ev.LlmCall) -> Window:
    """What the provider's count of the prompt says about ours. In coarse steps, so that views stay alike."""
    window = state.window.model_copy(update={"refused": 0})
    estimated = state.model_call.estimated_tokens if state.model_call else 0
    if not (estimated and data.prompt_tokens):
        return window
    ratio = math.ceil(10 * data.prompt_tokens / estimated) / 10
    return window.model_copy(update={"tokens_per_estimated": min(max(ratio, _LEAST_RATIO), _MOST_RATIO)})


def _refused(state: RunState, data: ev.LlmFailed) -> Window:
    if data.failure != CONTEXT:
        return state.window
    window, estimated = state.window, state.model_call.estimated_tokens if state.model_call else 0
    most = int(estimated * _SHRINK) or window.most
    return window.model_copy(update={"most": most, "refused": window.refused + 1})


def _mended(data: ev.ModelChanged | ev.EffortDropped) -> dict[str, object]:
    """What is asked otherwise from now on. Neither can happen twice."""
    if isinstance(data, ev.EffortDropped):
        return {"effort": ""}
    # The turn of the call that failed is not over, so one failure stays on the books (see `limit_reached`).
    return {"model": data.target, "fallback_model": "", "model_failures": 1, "window": Window()}


def _researches(state: RunState, data: ev.ResearchStarted | ev.ResearchFinished, time: float) -> dict[str, object]:
    match data:
        case ev.ResearchStarted():
            begun = Research(
                run=data.research, tool_call_id=data.tool_call_id, title=data.title, limits=data.limits, started=time
            )
            spend = hold(state.spend, data.research, data.reserved_microdollars)
            return {"researches": {**state.researches, data.research: begun}, "spend": spend}
        case ev.ResearchFinished():
            update = {
                "status": data.status,
                "reason": data.reason,
                "ended": time,
                "turns": data.turns,
                "tokens": data.prompt_tokens + data.completion_tokens,
                "cost_usd": data.cost_usd,
            }
            over = state.researches[data.research].model_copy(update=update)
            spend = settle(with_tokens(state.spend, data), data.research, data.cost_usd)
            return {"researches": {**state.researches, data.research: over}, "spend": spend}
