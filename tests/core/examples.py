"""Events and runs as the tests of the store and its decisions write them."""

from typing import Literal

from services.core import events as ev
from services.core.fold import first_state, fold_all
from services.core.keys import attempt_id
from services.core.lifecycle import Reason, Status
from services.core.records import Limits, RunState, Wait

RUN = "r00000000001"
TENANT = "acme"
CREATED = 1_000_000.0
EMPTY = "0" * 64

Outcome = Literal["succeeded", "failed", "cancelled", "lost"]


def accepted(goal: str = "train it", tenant: str = TENANT, **more: object) -> ev.RunAccepted:
    given = {"tenant": tenant, "goal": goal, "model": "m", "limits": Limits(), "labels": {}, "snapshot": EMPTY}
    return ev.RunAccepted.model_validate({**given, **more})


def moved(source: Status, target: Status, reason: Reason = Reason.NONE) -> ev.StatusChanged:
    return ev.StatusChanged(source=source, target=target, reason=reason)


def submitted(step: str, number: int = 1, run: str = RUN, reserved: int = 0) -> ev.StepSubmitted:
    return ev.StepSubmitted(
        step=step,
        attempt=attempt_id(run, step, number),
        number=number,
        command="python train.py",
        snapshot=EMPTY,
        uses=[],
        env={},
        deadline_seconds=60,
        reserved_microdollars=reserved,
    )


def finished(
    step: str, number: int = 1, outcome: Outcome = "succeeded", run: str = RUN, cost_usd: float = 0.0
) -> ev.AttemptFinished:
    return ev.AttemptFinished(
        step=step,
        attempt=attempt_id(run, step, number),
        outcome=outcome,
        exit_code=0 if outcome == "succeeded" else 1,
        reason="exited",
        seconds=1,
        cost_usd=cost_usd,
        log_bytes=10,
        log_complete=True,
    )


def research_started(research: str = "r-child", reserved: int = 0, tokens: int = 1_000) -> ev.ResearchStarted:
    return ev.ResearchStarted(
        research=research,
        tool_call_id="a",
        title="Look into it.",
        limits=Limits(turns=20, minutes=30, tokens=tokens),
        reserved_microdollars=reserved,
    )


def research_finished(research: str = "r-child", cost_usd: float = 0.0) -> ev.ResearchFinished:
    return ev.ResearchFinished(
        research=research,
        status=Status.SUCCEEDED,
        reason=Reason.FINISHED,
        turns=3,
        cost_usd=cost_usd,
        prompt_tokens=90,
        completion_tokens=10,
        cache_read_tokens=50,
    )


def message(text: str = "go on", message_id: str = "1") -> ev.MessageReceived:
    return ev.MessageReceived(message_id=message_id, content=text, author="somebody")


def tool_call(tool_call_id: str, tool: str = "read") -> ev.ToolCall:
    return ev.ToolCall(tool=tool, arguments={}, tool_call_id=tool_call_id)


def tool_output(tool_call_id: str, tool: str = "read") -> ev.ToolOutput:
    return ev.ToolOutput(tool=tool, tool_call_id=tool_call_id, output="ok", success=True)


def llm_request(call: str, reserved: int = 0) -> ev.LlmRequest:
    return ev.LlmRequest(call=call, model="m", reserved_microdollars=reserved, messages=1, prompt_sha256=EMPTY)


def llm_call(call: str, cost_usd: float = 0.0, prompt: int = 10, completion: int = 5) -> ev.LlmCall:
    return ev.LlmCall(
        call=call,
        model="m",
        latency_ms=1,
        finish_reason="stop",
        cost_usd=cost_usd,
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
    )


def llm_failed(call: str, cost_usd: float = 0.0) -> ev.LlmFailed:
    return ev.LlmFailed(call=call, model="m", failure="timeout", detail="", cost_usd=cost_usd)


def parked(*steps: str, mode: Literal["any", "all"] = "all", until: float | None = None) -> ev.Parked:
    return ev.Parked(wait=Wait(kind="steps", steps=steps, mode=mode, until=until, tool_call_id="w"))


def numbered(*data: ev.EventData, after: int = 1, turn: int = 0, time: float = CREATED) -> list[ev.Event]:
    """The events of a log, from the one that follows `after`."""
    return [ev.Event(RUN, after + place, time, turn, each) for place, each in enumerate(data, start=1)]


def state_after(*data: ev.EventData) -> RunState:
    """The state of a run whose log says this after its acceptance."""
    return fold_all(first_state(RUN, accepted(), CREATED), numbered(*data))


def running(*data: ev.EventData) -> RunState:
    """The state of a run that a worker has taken, and then this."""
    return state_after(moved(Status.QUEUED, Status.RUNNING), *data)
