"""`step_metrics`: the series a step has printed so far."""

from pydantic import Field

from services.core.observations import Metric
from services.worker.tools.accounts import head_of, line_of, metrics_of, said_of, summaries, where
from services.worker.tools.step_log import find_attempt
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool

_POINTS = 30


class StepMetrics(Parameters):
    step: str = Field(description="The step's name.")
    attempt: int | None = Field(None, ge=1, description="Which attempt; the last one unless given.")
    name: str | None = Field(None, description="Show the points of this metric instead of a summary of all.")


def _run(call: Call, wanted: StepMetrics) -> Result:
    attempt = find_attempt(call, wanted.step, wanted.attempt)
    records = metrics_of(call, attempt)
    step = call.state.steps[wanted.step]
    if not records:
        return Result(f"{head_of(step, attempt)}\nno metrics yet")
    if wanted.name is None:
        return Result(said_of(step, attempt, [line_of(series) for series in summaries(records)]))
    points = [record for record in records if record.name == wanted.name]
    if not points:
        names = ", ".join(dict.fromkeys(record.name for record in records))
        return Result(said_of(step, attempt, [f"no metric {wanted.name!r}; there are: {names}"]), success=False)
    return Result(said_of(step, attempt, _lines(points)))


def _lines(points: list[Metric]) -> list[str]:
    """At most `_POINTS` of them, evenly spread, first and last included."""
    if len(points) <= _POINTS:
        return [_point(record) for record in points]
    chosen = [points[round(index * (len(points) - 1) / (_POINTS - 1))] for index in range(_POINTS)]
    return [f"{_POINTS} of {len(points)} values, evenly spread", *(_point(record) for record in chosen)]


def _point(record: Metric) -> str:
    return f"{where(record)}: {record.name} {record.value:g}"


TOOL = Tool(
    name="step_metrics",
    description="Show the metrics a step has printed so far: a summary of all, or the points of one.",
    parameters=StepMetrics,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.READS}),
    is_parallel=True,
)
