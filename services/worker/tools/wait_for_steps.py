"""`wait_for_steps`: park until steps are over; the answer is each attempt's digest, or its progress so far."""

from typing import Literal

from pydantic import Field

from services.core.records import Step, Wait
from services.core.waiting import is_satisfied
from services.worker.tools.accounts import account_of, progress_of, warnings_of
from services.worker.tools.tool import Call, Effect, Parameters, Park, Replay, Result, Tool, ToolError


class WaitForSteps(Parameters):
    steps: list[str] = Field(min_length=1, max_length=50, description="Names of steps.")
    until: Literal["any", "all"] = Field("all", description="Wait for one of them, or for all.")
    max_minutes: float = Field(60, gt=0, le=60 * 24 * 14, description="Answer after so long at the latest.")


def _run(call: Call, wanted: WaitForSteps) -> Result | Park:
    steps = [_step(call, name) for name in dict.fromkeys(wanted.steps)]
    earlier = call.state.wait if call.state.wait and call.state.wait.tool_call_id == call.id else None
    until = earlier.until if earlier and earlier.until else call.now + wanted.max_minutes * 60
    wait = Wait(
        kind="steps", steps=tuple(step.name for step in steps), mode=wanted.until, until=until, tool_call_id=call.id
    )
    over = is_satisfied(wait, call.state)
    warned = [warning for warning in call.state.unheard if warning.step in wait.steps]
    if not over and not call.unread and not warned and call.now < until:
        return Park(wait)
    share = 8_000 // len(steps)
    accounts = [progress_of(call, step) if step.last.is_live else account_of(call, step, share) for step in steps]
    if warned:
        accounts.insert(0, warnings_of(warned))
    if not over:
        why = _why_now(call, bool(warned), wanted.max_minutes)
        accounts.insert(0, f"The wait ended because {why}; not all steps are over.")
    return Result("\n\n".join(accounts))


def _why_now(call: Call, is_warned: bool, minutes: float) -> str:
    if is_warned:
        return "a warning has come"
    return "a message has come" if call.unread else f"{minutes:g} minutes are over"


def _step(call: Call, name: str) -> Step:
    if name not in call.state.steps:
        known = ", ".join(call.state.steps) or "none yet"
        raise ToolError(f"there is no step {name!r}; submitted: {known}")
    return call.state.steps[name]


TOOL = Tool(
    name="wait_for_steps",
    description=(
        "Wait until steps are over and get, for each, the verdict, the platform's diagnosis where it has one, and a "
        "digest of its log; costs nothing while it waits. With a short max_minutes it answers with the progress so "
        "far; a warning of one that runs ends the wait, once for each kind."
    ),
    parameters=WaitForSteps,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.READS}),
    waits=True,
)
