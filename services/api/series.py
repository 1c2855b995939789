"""What the programs of a run measured and used, as rows over time: for whoever draws lines of a whole run at once."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api.auth import Reader
from services.api.parameters import RunId
from services.api.parts import Parts, Uses
from services.api.views import answer
from services.core.attempts import Reading
from services.core.observations import GpuSample, Sample
from services.core.records import Attempt, RunState

MAX_POINTS = 10_000
MOST_ATTEMPTS = 20
_BATCH = 5_000
router = APIRouter(prefix="/v1/runs/{run}", tags=["steps"])

Points = Annotated[int, Query(ge=10, le=MAX_POINTS, description="Most values of each line.")]


class Point(BaseModel):
    """One value of a line. `step` is the program's own count."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    time: float
    attempt: str = Field(examples=["rk3v9x2m4q8aa-train-1"])
    name: str = Field(examples=["loss"])
    step: int | None
    value: float


class PointList(BaseModel):
    items: list[Point]


class UsageView(BaseModel):
    """What one program used at one moment. 100 percent of CPU is one core; of several GPUs it is their mean.

    `gpu_memory_percent` is of the fullest GPU.
    """

    time: float
    attempt: str = Field(examples=["rk3v9x2m4q8aa-train-1"])
    cpu_percent: float | None
    memory_bytes: int | None
    gpus: int
    gpu_percent: float | None
    gpu_memory_percent: float | None


class UsageList(BaseModel):
    items: list[UsageView]


@router.get("/series", response_model=PointList)
def list_points(
    caller: Reader,
    parts: Uses,
    run: RunId,
    text: Annotated[str, Query(max_length=200, description="Looked for in the metric's name, in any case.")] = "",
    points: Points = 500,
) -> Response:
    """What the programs measured, by attempt and name: the newest 20 attempts, each line thinned to `points` values.

    Of neighbours the lowest and the highest are kept, so that no peak is lost. `NaN` and `Infinity` are strings.
    """
    items: list[Point] = []
    for attempt in newest(parts.store.state_for(caller.tenant, run)):
        for name, values in sorted(_series(parts, attempt, text.casefold()).items()):
            items += [_point(attempt, name, metric) for metric in thinned(values, points)]
    return answer(PointList(items=items))


@router.get("/usage", response_model=UsageList)
def list_usage(caller: Reader, parts: Uses, run: RunId) -> Response:
    """The processors and the memory that the programs used, as their sidecars saw it: the newest 20 attempts.

    Of each attempt the newest thousand samples, of one on several nodes those of rank 0. A figure that nobody could
    measure is null.
    """
    attempts = newest(parts.store.state_for(caller.tenant, run))
    rows = (_usage(attempt, sample) for attempt in attempts for sample in parts.attempts.samples(attempt.id))
    return answer(UsageList(items=list(rows)))


def newest(state: RunState) -> list[Attempt]:
    """The attempts that were submitted last, oldest first."""
    attempts = chain.from_iterable(step.attempts for step in state.steps.values())
    return sorted(attempts, key=lambda attempt: attempt.submitted)[-MOST_ATTEMPTS:]


def thinned(values: Sequence[Reading], most: int) -> list[Reading]:
    """At most `most` of the values, in order: of each stretch the lowest and the highest. `most` is 2 at least."""
    if len(values) <= most:
        return list(values)
    stretches = most // 2
    bounds = [len(values) * index // stretches for index in range(stretches + 1)]
    kept: list[Reading] = []
    for start, end in pairwise(bounds):
        places = sorted(range(start, end), key=lambda place: _height(values[place].value))
        kept += [values[place] for place in sorted({places[0], places[-1]})]
    return kept


def _height(value: float) -> tuple[bool, float]:
    """What values are compared by. What is no number counts as the highest: that there was one has to be seen."""
    return (True, 0.0) if math.isnan(value) else (False, value)


def _series(parts: Parts, attempt: Attempt, text: str) -> dict[str, list[Reading]]:
    found: dict[str, list[Reading]] = {}
    for metric in _readings(parts, attempt.id):
        if text in metric.name.casefold():
            found.setdefault(metric.name, []).append(metric)
    return found


def _readings(parts: Parts, attempt: str) -> Iterator[Reading]:
    start = 0
    while batch := parts.attempts.readings(attempt, start, _BATCH):
        yield from batch
        start += len(batch)


def _point(attempt: Attempt, name: str, metric: Reading) -> Point:
    return Point(time=metric.time, attempt=attempt.id, name=name, step=metric.step, value=metric.value)


def _usage(attempt: Attempt, sample: Sample) -> UsageView:
    return UsageView(
        time=sample.time,
        attempt=attempt.id,
        cpu_percent=sample.cpu_percent,
        memory_bytes=sample.rss_bytes,
        gpus=len(sample.gpu),
        gpu_percent=_mean([gpu.used_percent for gpu in sample.gpu if gpu.used_percent is not None]),
        gpu_memory_percent=_fullest(sample.gpu),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _fullest(gpus: Sequence[GpuSample]) -> float | None:
    """How full the memory of the fullest GPU is, in percent."""
    shares = [
        100.0 * gpu.memory_bytes / gpu.memory_total_bytes
        for gpu in gpus
        if gpu.memory_bytes is not None and gpu.memory_total_bytes
    ]
    return max(shares, default=None)
