"""Steps: the programs a run executes, their logs and their metrics."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from services.api import sse
from services.api.auth import Reader
from services.api.events import KEEP_ALIVE_SECONDS, LastEventId, resumed
from services.api.feed import POLL_SECONDS, Feed
from services.api.parameters import MAX_NUMBER, AttemptNumber, Rank, RunId, StepName
from services.api.parts import Parts, Uses
from services.api.problems import BadField
from services.api.readers import AllLogs, OneLog, Reader as LogReader
from services.api.views import AttemptView, MetricPage, Responses, StepList, StepView, answer
from services.core.errors import StepNotFound
from services.core.keys import rank_id
from services.core.merged import MergedLog
from services.core.observations import Metric
from services.core.records import Attempt, RunState, Step

MAX_METRICS = 10_000
_BATCH = 5_000
router = APIRouter(prefix="/v1/runs/{run}/steps", tags=["steps"])

_BYTES: Responses = {
    200: {
        "description": "Raw bytes. `X-Log-Offset` is where they begin, `X-Log-Size` how long the log is now, "
        "`X-Log-Complete` whether it is known to be whole and at its end.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_STREAM: Responses = {
    200: {
        "description": '`event: log` has the data {"offset", "text"} and as `id` the offset behind it; characters are '
        "never cut in two. `event: end` closes the stream when the attempt is over.",
        "content": {"text/event-stream": {"schema": sse.SCHEMA}},
    }
}
Offset = Annotated[
    int, Query(ge=-MAX_NUMBER, le=MAX_NUMBER, description="First byte; a negative one counts from the end.")
]


@router.get("", response_model=StepList)
def list_steps(caller: Reader, parts: Uses, run: RunId) -> Response:
    """Every step of a run, with every attempt at it."""
    state = parts.store.state_for(caller.tenant, run)
    return answer(StepList(items=[_view(parts, step) for step in state.steps.values()]))


@router.get("/{step}", response_model=StepView)
def show_step(caller: Reader, parts: Uses, run: RunId, step: StepName) -> Response:
    """One step, with every attempt at it."""
    return answer(_view(parts, _step(parts.store.state_for(caller.tenant, run), step)))


@router.get("/{step}/log", response_class=StreamingResponse, responses=_BYTES)
def read_log(
    caller: Reader,
    parts: Uses,
    run: RunId,
    step: StepName,
    attempt: AttemptNumber = None,
    rank: Rank = None,
    offset: Offset = 0,
    limit: Annotated[
        int | None, Query(ge=1, le=MAX_NUMBER, description="Most bytes; all there are unless told.")
    ] = None,
) -> Response:
    """A part of what an attempt's program wrote, byte for byte. Nothing behind its present end, and no error either.

    On several nodes and without a rank it is the whole lines of all ranks in the order in which they came, each after
    `[rank N] `: without `X-Log-Size`, and never counted from the end.
    """
    found = _attempt(parts.store.state_for(caller.tenant, run), step, attempt)
    if rank is None and found.resources.nodes > 1:
        return _all_logs(parts, found, offset, limit)
    name = _log_name(found, rank)
    record = parts.attempts.record(name)
    size = parts.logs.size(name)
    start = max(0, size + offset) if offset < 0 else offset
    stop = size if limit is None else min(size, start + limit)
    headers = {
        "X-Log-Offset": str(start),
        "X-Log-Size": str(size),
        "X-Log-Complete": "true" if record.log_complete else "false",
        "Content-Length": str(max(0, stop - start)),
        "Content-Disposition": f'attachment; filename="{name}.log"',
    }
    data = parts.logs.stream(name, start, stop)
    return StreamingResponse(data, media_type="application/octet-stream", headers=headers)


@router.get("/{step}/log/stream", response_class=StreamingResponse, responses=_STREAM)
async def stream_log(
    caller: Reader,
    parts: Uses,
    run: RunId,
    step: StepName,
    attempt: AttemptNumber = None,
    rank: Rank = None,
    offset: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="First byte.")] = 0,
    last_event_id: LastEventId = None,
) -> Response:
    """What an attempt's program writes, as it writes it, from `Last-Event-ID` or `offset` on."""
    position = offset if last_event_id is None else resumed(last_event_id)
    state = await run_sync(parts.store.state_for, caller.tenant, run)
    found = _attempt(state, step, attempt)
    reader: LogReader
    if rank is None and found.resources.nodes > 1:
        reader = AllLogs(parts.logs, found.id, found.resources.nodes, position)
    else:
        reader = OneLog(parts.logs, _log_name(found, rank), position)
    return sse.stream(_log(parts, run, found.id, reader))


@router.get("/{step}/metrics", response_model=MetricPage)
def list_metrics(
    caller: Reader,
    parts: Uses,
    run: RunId,
    step: StepName,
    attempt: AttemptNumber = None,
    name: Annotated[str, Query(max_length=200, description="Only the series of this name.")] = "",
    start: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="`next_start` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_METRICS)] = 1_000,
) -> Response:
    """What an attempt's program measured, in the order in which it said so. `NaN` and `Infinity` are strings."""
    found = _attempt(parts.store.state_for(caller.tenant, run), step, attempt)
    items, after = _metrics(parts, found.id, name, start, limit)
    dropped = parts.attempts.record(found.id).metrics_dropped
    return answer(MetricPage(attempt=found.id, items=items, next_start=after, dropped=dropped))


def _step(state: RunState, name: str) -> Step:
    if name not in state.steps:
        raise StepNotFound(f"run {state.run} has no step {name}")
    return state.steps[name]


def _attempt(state: RunState, name: str, number: int | None) -> Attempt:
    step = _step(state, name)
    for attempt in step.attempts:
        if attempt.number == (number or step.last.number):
            return attempt
    raise StepNotFound(f"step {name} of run {state.run} has no attempt {number}")


def _log_name(attempt: Attempt, rank: int | None) -> str:
    """Under which name the log of a rank is kept. Raises `StepNotFound`."""
    if rank is not None and rank >= attempt.resources.nodes:
        raise StepNotFound(f"attempt {attempt.id} has no rank {rank}: it has {attempt.resources.nodes}, counted from 0")
    return rank_id(attempt.id, rank or 0)


def _all_logs(parts: Parts, attempt: Attempt, offset: int, limit: int | None) -> Response:
    """The logs of all ranks together. Raises `BadField`."""
    if offset < 0:
        raise BadField("the lines of all ranks are not counted from their end: name a rank", "offset")
    nodes, is_last = attempt.resources.nodes, not parts.attempts.is_live(attempt.id)
    is_complete = all(record.log_complete for record in parts.attempts.records(attempt.id, nodes))
    headers = {
        "X-Log-Offset": str(offset),
        "X-Log-Complete": "true" if is_complete else "false",
        "Content-Disposition": f'attachment; filename="{attempt.id}.log"',
    }
    data = MergedLog(parts.logs, attempt.id, nodes).all(offset, limit, is_last=is_last)
    return StreamingResponse(data, media_type="application/octet-stream", headers=headers)


def _view(parts: Parts, step: Step) -> StepView:
    attempts = [_attempt_view(parts, attempt) for attempt in step.attempts]
    return StepView(name=step.name, cancelling=step.cancelling, attempts=attempts)


def _attempt_view(parts: Parts, attempt: Attempt) -> AttemptView:
    record = parts.attempts.record(attempt.id)
    known = AttemptView.model_validate(dict(attempt))
    return known.model_copy(
        update={
            "log_bytes": max(attempt.log_bytes, record.log_bytes),
            "progress": record.progress,
            "metrics_count": record.metrics_count,
            "metrics_dropped": record.metrics_dropped,
            "heartbeat": record.heartbeat_at,
            "last_output": record.last_output_at,
            "warnings": [f"{warned.kind}: {warned.text}" for warned in parts.attempts.warnings(attempt.id)],
        }
    )


def _metrics(parts: Parts, attempt: str, name: str, start: int, limit: int) -> tuple[list[Metric], int | None]:
    """Up to `limit` metrics of the series from position `start` on, and the position to go on from."""
    items: list[Metric] = []
    while batch := parts.attempts.metrics(attempt, start, _BATCH):
        for metric in batch:
            start += 1
            if not name or metric.name == name:
                items.append(metric)
            if len(items) == limit:
                return items, start
    return items, None


async def _log(parts: Parts, run: str, attempt: str, reader: LogReader) -> AsyncIterator[bytes]:
    hub, clock = parts.hub, asyncio.get_running_loop().time
    spoke = clock()
    with parts.metrics.sse_clients.track_inprogress():
        async with hub.feed(run) as feed:
            while not hub.is_closing:
                # Each is asked before the next, so that what comes in between is seen in the next round at once.
                head = feed.head
                is_live = await run_sync(parts.attempts.is_live, attempt)
                start = reader.position
                text = await run_sync(partial(reader.read, is_last=not is_live))
                if text:
                    yield sse.frame("log", {"offset": start, "text": text}, reader.position)
                    spoke = clock()
                elif not is_live:
                    yield sse.frame("end", await run_sync(_end, parts, run, attempt))
                    return
                elif clock() - spoke >= KEEP_ALIVE_SECONDS:
                    yield sse.KEEP_ALIVE
                    spoke = clock()
                else:
                    await _grown(feed, reader, head)
            yield sse.GOODBYE


async def _grown(feed: Feed, reader: LogReader, head: int) -> None:
    """Wait until the log is said to be longer or the run to be further, or it is time to look again anyway."""
    while not reader.has_news(feed) and feed.head == head:
        if not await feed.news(POLL_SECONDS):
            return


def _end(parts: Parts, run: str, attempt: str) -> dict[str, object]:
    state = parts.store.state(run)
    for step in state.steps.values():
        for found in step.attempts:
            if found.id == attempt:
                return {"status": found.status, "exit_code": found.exit_code, "reason": found.reason}
    return {"status": "lost", "exit_code": None, "reason": ""}
