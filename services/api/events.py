"""A run's events: page by page, as they happen, or all of them as a trace."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from services.api import sse
from services.api.auth import Reader
from services.api.feed import Feed, event_frame
from services.api.parameters import MAX_NUMBER, After, RunId
from services.api.parts import Parts, Uses
from services.api.views import EventPage, Responses, answer
from services.core.errors import BadRequest
from services.core.store import RunStore

KEEP_ALIVE_SECONDS = 15.0
MAX_EVENTS = 1_000
_BATCH = 200
router = APIRouter(prefix="/v1/runs/{run}", tags=["events"])

LastEventId = Annotated[
    str | None,
    Header(max_length=20, description="The `id` of the last event that came; as browsers send it.", examples=["17"]),
]
_STREAM: Responses = {
    200: {
        "description": "`id` is the event's seq, `event` its type, `data` the event. `event: progress` (without id) "
        "tells what a program reports at this moment; `event: end` closes the stream when the run is over or needs a "
        "person.",
        "content": {"text/event-stream": {"schema": sse.SCHEMA}},
    }
}
_LINES: Responses = {
    200: {"description": "One event a line.", "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}
}


@router.get("/events", response_model=EventPage)
async def list_events(
    request: Request,
    caller: Reader,
    parts: Uses,
    run: RunId,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 100,
    last_event_id: LastEventId = None,
) -> Response:
    """Events after `after`, in order; an empty page where there are none yet. `Accept: text/event-stream` streams."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return await stream_events(caller, parts, run, after, last_event_id)
    state = await run_sync(parts.store.state_for, caller.tenant, run)
    after = counted(after, state.seq)
    events = await run_sync(parts.store.events, run, after, limit)
    items = [event.wire() for event in events]
    return answer({"items": items, "next_after": events[-1].seq if events else after})


@router.get("/events/stream", response_class=StreamingResponse, responses=_STREAM)
async def stream_events(
    caller: Reader, parts: Uses, run: RunId, after: After = 0, last_event_id: LastEventId = None
) -> Response:
    """Events as they happen, from `Last-Event-ID` or `after` on, until the run is over or needs a person."""
    state = await run_sync(parts.store.state_for, caller.tenant, run)
    position = counted(after, state.seq) if last_event_id is None else resumed(last_event_id)
    return sse.stream(_events(parts, run, position))


@router.get("/trace", response_class=StreamingResponse, responses=_LINES)
def trace(caller: Reader, parts: Uses, run: RunId) -> Response:
    """The run's whole log so far, one event a line."""
    parts.store.state_for(caller.tenant, run)
    headers = {"Content-Disposition": f'attachment; filename="{run}.jsonl"'}
    return StreamingResponse(_lines(parts.store, run), media_type="application/x-ndjson", headers=headers)


def counted(after: int, seq: int) -> int:
    """The place that `after` means in a log that ends at `seq`."""
    return max(0, seq + after) if after < 0 else after


def resumed(last_event_id: str) -> int:
    """The place that a client says it had reached. Raises `BadRequest`."""
    if not last_event_id.isascii() or not last_event_id.isdecimal() or int(last_event_id) > MAX_NUMBER:
        raise BadRequest("Last-Event-ID must be the id of an event that came over this stream", field="Last-Event-ID")
    return int(last_event_id)


async def _events(parts: Parts, run: str, position: int) -> AsyncIterator[bytes]:
    hub, clock = parts.hub, asyncio.get_running_loop().time
    spoke = clock()
    with parts.metrics.sse_clients.track_inprogress():
        async with hub.feed(run) as feed:
            seen = feed.sighted
            while not hub.is_closing:
                frames, position = await _frames(parts.store, feed, position)
                frames += feed.sightings_after(seen)
                seen = feed.sighted
                if frames:
                    yield b"".join(frames)
                    spoke = clock()
                elif feed.rest is not None and position >= feed.rest.seq:
                    yield sse.frame("end", {"status": feed.rest.status, "exit_code": feed.rest.exit_code})
                    return
                elif clock() - spoke >= KEEP_ALIVE_SECONDS:
                    yield sse.KEEP_ALIVE
                    spoke = clock()
                elif position >= feed.floor:
                    await feed.news(KEEP_ALIVE_SECONDS)
            yield sse.GOODBYE


async def _frames(store: RunStore, feed: Feed, position: int) -> tuple[list[bytes], int]:
    """What comes after `position`, and how far that is: from the feed, or from the log for who is further behind."""
    if position >= feed.floor:
        return feed.frames_after(position)
    events = await run_sync(store.events, feed.run, position, _BATCH)
    return [event_frame(event) for event in events], events[-1].seq if events else feed.floor


def _lines(store: RunStore, run: str) -> Iterator[bytes]:
    seq = 0
    while events := store.events(run, after=seq):
        yield b"".join(to_json(event.wire(), inf_nan_mode="strings") + b"\n" for event in events)
        seq = events[-1].seq
