"""Run states as the store has them, for the decisions that take values alone."""

from typing import Any, Literal

from services.core.lifecycle import Status
from services.core.records import Attempt, Limits as RunLimits, OpenCall, PendingModelCall, RunState, Spend, Step
from services.core.store import Talk
from services.core.workspace import EMPTY
from services.worker.circles import Circle, Limits
from services.worker.conversation import NUDGE, REPLY, SAID, reply_message, tool_message, user_message
from services.worker.reply import RawCall

CREATED = 1_000_000.0
"""When every state here was accepted, in seconds since the epoch."""

RUN = "r000000000001"


def state_of(status: Status = Status.RUNNING, **changes: Any) -> RunState:
    """A run accepted at `CREATED`. `changes` are fields of `RunState`."""
    values: dict[str, Any] = {
        "run": RUN,
        "tenant": "acme",
        "seq": 7,
        "status": status,
        "goal": "train a model",
        "model": "scripted/hello",
        "limits": RunLimits(),
        "created": CREATED,
        "updated": CREATED,
        "snapshot": EMPTY,
        "input_snapshot": EMPTY,
        **changes,
    }
    return RunState(**values)


def attempt(number: int = 1, status: str = "running", step: str = "train", **changes: Any) -> Attempt:
    """An attempt of `step` of the run of `state_of`."""
    values: dict[str, Any] = {
        "id": f"{RUN}-{step}-{number}",
        "number": number,
        "status": status,
        "command": "python train.py",
        "snapshot": EMPTY,
        "deadline_seconds": 600.0,
        "submitted": CREATED,
        **changes,
    }
    return Attempt(**values)


def step_of(*statuses: str, name: str = "train", cancelling: bool = False) -> Step:
    """A step with an attempt of each status, in order."""
    attempts = tuple(attempt(number, status, name) for number, status in enumerate(statuses, 1))
    return Step(name=name, attempts=attempts, cancelling=cancelling)


def steps_of(*steps: Step) -> dict[str, Step]:
    return {step.name: step for step in steps}


def open_call(tool: str = "read", index: int = 0, *, begun: bool = False) -> OpenCall:
    return OpenCall(tool_call_id=f"call_1_{index}", tool=tool, index=index, begun=begun)


def pending_call(microdollars: int = 0) -> PendingModelCall:
    return PendingModelCall(call=f"{RUN}-c1", reserved_microdollars=microdollars)


def spend_of(*, tokens: int = 0, dollars: float = 0.0) -> Spend:
    return Spend(prompt_tokens=tokens, microdollars=round(dollars * 1_000_000))


def replied(turn: int, text: str = "", *tools: str) -> Talk:
    """The model's reply of a turn, calling `tools` without arguments."""
    calls = [RawCall(f"call_{turn}_{index}", tool, "{}") for index, tool in enumerate(tools)]
    return Talk(turn, REPLY, reply_message(text, calls))


def answered(turn: int, index: int, text: str = "done") -> Talk:
    return Talk(turn, index, tool_message(f"call_{turn}_{index}", text))


def said(turn: int, text: str = "go on") -> Talk:
    return Talk(turn, SAID, user_message(text))


def told(turn: int) -> Talk:
    """What the platform says to an agent that replies with text alone."""
    circle = Circle("You reply without calling a tool", 1, Limits(1, 3), is_text=True)
    return Talk(turn, NUDGE, user_message(circle.text))


Role = Literal["system", "user", "assistant", "tool"]
