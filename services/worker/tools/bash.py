"""`bash`: a shell command in the run's workspace. The only tool that acts on the world, so the only one that is unsafe.

Its program outlives the worker that started it: whoever takes the run over finds its outcome, or waits for it.
"""

from pydantic import Field

from services.worker.shells import Order, Ran
from services.worker.tools.bounds import bounded
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool


class Bash(Parameters):
    command: str = Field(min_length=1, max_length=100_000, description="The command, run by sh in the workspace.")
    timeout_seconds: float = Field(120, gt=0, le=1_800, description="The command is stopped after so long.")
    gpus: int = Field(0, ge=0, le=64, description="GPUs it needs, for a short smoke test.")


def _run(call: Call, wanted: Bash) -> Result:
    return _result(call, call.desk.shell.run(call.state, _order(call, wanted), call.stop), wanted)


def _recover(call: Call, wanted: Bash) -> Result | None:
    ran = call.desk.shell.recover(call.state, _order(call, wanted), call.stop)
    return None if ran is None else _result(call, ran, wanted)


def _order(call: Call, wanted: Bash) -> Order:
    return Order(
        call=call.id,
        snapshot=call.state.snapshot,
        command=wanted.command,
        timeout_seconds=wanted.timeout_seconds,
        gpus=wanted.gpus,
    )


def _result(call: Call, ran: Ran, wanted: Bash) -> Result:
    text = ran.output.decode(errors="replace")
    notes = [f"exit code: {ran.exit_code}"]
    if ran.reason == "deadline":
        notes.append(f"stopped after {wanted.timeout_seconds:g} s; run long work as a step")
    elif ran.reason != "exited":
        notes.append(f"ended by: {ran.reason}")
    notes += [f"not kept in the workspace: {note}" for note in ran.skipped[:20]]
    body = bounded(text, call.desk.artifacts) if text else "(no output)"
    return Result("\n".join([*notes, body]), success=ran.exit_code == 0, changes=ran.changes)


TOOL = Tool(
    name="bash",
    description=(
        "Run a shell command in the workspace: look around, try a script on little data. Files it changes are kept. "
        "Trainings and evaluations are steps (submit_step), not commands."
    ),
    parameters=Bash,
    run=_run,
    replay=Replay.UNSAFE,
    effects=frozenset({Effect.READS, Effect.WRITES, Effect.SPENDS}),
    is_parallel=True,
    recover=_recover,
)
