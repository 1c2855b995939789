"""`finish`: claim the result. Every claim is checked against what exists; the word of the model is not enough."""

import math

from pydantic import Field

from services.core import events as ev
from services.core.errors import CohortError
from services.core.records import FileRef, Wait
from services.core.sandboxes import SANDBOX
from services.worker.tools.accounts import metrics_of
from services.worker.tools.refusing import tampered
from services.worker.tools.tool import Call, Finished, Parameters, Park, Replay, Result, Tool, ToolError

# The model sees values with six significant digits.
_TOLERANCE = 1e-5
# After so many questions a claim that does not hold ends the run.
_QUESTIONS = 2


class Finish(Parameters):
    summary: str = Field(min_length=1, max_length=20_000, description="What was done and found, for a person.")
    metrics: dict[str, float] = Field({}, max_length=100, description="Results, each as a step printed it.")
    artifacts: list[str] = Field(
        [], max_length=200, description="Files: <step>/<path> of an output, or workspace paths."
    )


def _run(call: Call, wanted: Finish) -> Result | Park:
    live = [step.name for step in call.state.steps.values() if step.last.is_live and step.name != SANDBOX]
    if live:
        raise ToolError(f"still running: {', '.join(live)}; wait for them or cancel them before finishing")
    if refusal := tampered(call):
        return refusal
    problems = [text for name, value in wanted.metrics.items() if (text := _metric_problem(call, name, value))]
    files: list[FileRef] = []
    for path in wanted.artifacts:
        file = _find(call, path)
        if file is None:
            problems.append(f"artifact {path!r} does not exist; outputs are named <step>/<path>")
        else:
            files.append(file)
    open_items = [item for item in call.state.plan if item.status != "completed"]
    problems += [f"the plan has an open item: {item.content[:200]}" for item in open_items]
    if problems:
        return _questioned(call.state.questioned, problems)
    if not call.desk.shell.vacate(call.state):
        return Park(Wait(kind="steps", steps=(SANDBOX,), tool_call_id=call.id))
    finished = Finished(wanted.summary, wanted.metrics, tuple(files))
    return Result("every claim holds; the run is finished", finished=finished)


def _questioned(before: int, problems: list[str]) -> Result:
    """What is answered to a claim that does not hold: a question at first, the end of the run in the end."""
    told = "\n- ".join(problems)
    if before >= _QUESTIONS:
        return Result(f"the run ends as incomplete:\n- {told}", success=False, incomplete="; ".join(problems))
    text = (
        f"not finished:\n- {told}\nDo what is left, or take out of the plan and the claims what does not hold and say "
        "why in the summary. If you cannot go on without a person, call `ask`."
    )
    return Result(text, success=False, events=(ev.CompletionQuestioned(problems=problems),))


def _metric_problem(call: Call, name: str, claimed: float) -> str:
    """What is wrong with a claimed metric; empty when some step that succeeded printed that value."""
    seen: list[float] = []
    for step in call.state.steps.values():
        for attempt in step.attempts:
            if attempt.status == "succeeded":
                seen += [r.value for r in metrics_of(call, attempt) if r.name == name]
    if any(math.isclose(value, claimed, rel_tol=_TOLERANCE) for value in seen):
        return ""
    if not seen:
        return f"metric {name!r}: no step that succeeded has printed it (as {name}=…)"
    return f"metric {name!r}: {claimed:g} was never printed; the last value printed is {seen[-1]:g}"


def _find(call: Call, path: str) -> FileRef | None:
    step_name, _, rest = path.partition("/")
    step = call.state.steps.get(step_name)
    for attempt in reversed(step.attempts if step else ()):
        for file in attempt.outputs if attempt.status == "succeeded" else ():
            if file.path == rest:
                return FileRef(path=path, sha256=file.sha256, size=file.size)
    try:
        entry = call.desk.workspace.entry(call.state.snapshot, path)
    except CohortError:
        return None
    return FileRef(path=path, sha256=entry.sha256, size=entry.size)


TOOL = Tool(
    name="finish",
    description="End the run with its result. Each metric and artifact is checked; what does not hold is refused.",
    parameters=Finish,
    run=_run,
    replay=Replay.PURE,
)
