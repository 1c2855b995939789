"""`finish`: claim the result. Every claim is checked against what exists; the word of the model is not enough."""

import math
import re

from pydantic import Field

from services.core.errors import CohortError
from services.core.keys import rank_id
from services.core.records import Attempt, FileRef, Wait
from services.core.sandboxes import SANDBOX
from services.worker.tools.accounts import metrics_of
from services.worker.tools.questioning import questioned
from services.worker.tools.refusing import tampered
from services.worker.tools.tool import Call, Effect, Finished, Parameters, Park, Replay, Result, Tool, ToolError

# The model sees values with six significant digits.
_TOLERANCE = 1e-5
_END_BYTES = 64 << 10
_NUMBER = r"[-+]?\d{1,40}(?:\.\d{0,40})?(?:[eE][-+]?\d{1,3})?"
_ADVICE = (
    "Do what is left, or take out of the plan and the claims what does not hold and say why in the summary. If you "
    "cannot go on without a person, call `ask`."
)


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
    researches = [research.run for research in call.state.live_researches()]
    if researches:
        shown = ", ".join(f"research(resume={run!r})" for run in researches)
        raise ToolError(f"researches are under way; wait for them before finishing: {shown}")
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
        return questioned(call.state, problems, _ADVICE)
    if not call.desk.shell.vacate(call.state):
        return Park(Wait(kind="steps", steps=(SANDBOX,), tool_call_id=call.id))
    finished = Finished(wanted.summary, wanted.metrics, tuple(files))
    return Result("every claim holds; the run is finished", finished=finished)


def _metric_problem(call: Call, name: str, claimed: float) -> str:
    """What is wrong with a claimed metric; empty when some step that succeeded printed that value."""
    seen: list[float] = []
    for step in call.state.steps.values():
        for attempt in step.attempts:
            if attempt.status == "succeeded":
                seen += [record.value for record in metrics_of(call, attempt) if record.name == name]
                seen += _said_at_the_end(call, attempt, name)
    if any(math.isclose(value, claimed, rel_tol=_TOLERANCE) for value in seen):
        return ""
    if not seen:
        return f"metric {name!r}: no step that succeeded has printed it (as {name}=…)"
    return f"metric {name!r}: {claimed:g} was never printed; the last value printed is {seen[-1]:g}"


def _said_at_the_end(call: Call, attempt: Attempt, name: str) -> list[float]:
    """Values that the end of the attempt's log gives under this very name, whether or not it is one of a series: a
    count or a size is a result too."""
    log = rank_id(attempt.id, 0)
    size = call.desk.logs.size(log)
    text = call.desk.logs.read(log, max(0, size - _END_BYTES), _END_BYTES).decode(errors="replace")
    said = re.finditer(rf"""(?<![\w.]){re.escape(name)}["']?\s?[=:]\s?({_NUMBER})(?![\w.]*\w)""", text)
    return [float(match[1]) for match in said]


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
    effects=frozenset({Effect.WRITES}),
)
