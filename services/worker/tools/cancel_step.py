"""`cancel_step`: stop the live attempt of a step."""

from pydantic import Field

from services.core import events as ev
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool, ToolError


class CancelStep(Parameters):
    step: str = Field(description="The step's name.")


def _run(call: Call, wanted: CancelStep) -> Result:
    step = call.state.steps.get(wanted.step)
    if step is None:
        raise ToolError(f"there is no step {wanted.step!r}; submitted: {', '.join(call.state.steps) or 'none yet'}")
    if not step.last.is_live:
        return Result(f"step {wanted.step} is over already: {step.last.status}")
    text = f"asked step {wanted.step} to stop; wait_for_steps tells when it has"
    return Result(text, events=(ev.StepCancelRequested(step=wanted.step),))


TOOL = Tool(
    name="cancel_step",
    description="Stop the running attempt of a step: it gets SIGTERM, and SIGKILL after a grace period.",
    parameters=CancelStep,
    run=_run,
    replay=Replay.IDEMPOTENT,
    effects=frozenset({Effect.WRITES}),
)
