"""Runs: submitting a goal, looking at runs, waiting for one, cancelling one."""

import asyncio
import time
from hashlib import sha256
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from services.api import submission
from services.api.auth import Canceller, Reader, Submitter
from services.api.bodies import Input, json_body, takes
from services.api.feed import rest
from services.api.hub import Hub
from services.api.intake import FORM, asked
from services.api.parameters import RunId
from services.api.parts import Parts, Uses
from services.api.problems import BadField, KeyReused
from services.api.submission import Asked, Submission
from services.api.text import Line
from services.api.views import Accepted, Acknowledged, RunPage, RunView, answer, links, view
from services.core import events as ev, faults
from services.core.apikeys import KeyRecord
from services.core.catalog import MAX_PAGE
from services.core.errors import Conflict
from services.core.keys import new_run_id, run_id_from
from services.core.lifecycle import Reason, Status
from services.core.needs import Needs
from services.core.records import RunState
from services.core.rules import Terms
from services.core.store import Draft
from services.core.workspace import EMPTY

MAX_WAIT_SECONDS = 60
router = APIRouter(prefix="/v1/runs", tags=["runs"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?$",
        description="Names the request: sent again, it makes no second run. 1 to 128 printable ASCII characters.",
        examples=["pipeline-4711"],
    ),
]
LabelFilter = Annotated[
    str, StringConstraints(max_length=320, pattern=r"^[a-z0-9._/-]{1,63}="), Field(description="`name=value`.")
]
_BODY = takes(Submission, submission.EXAMPLE)
_BODY["requestBody"]["content"][FORM] = {
    "schema": {
        "type": "object",
        "required": ["goal"],
        "properties": {
            "goal": {"$ref": "#/components/schemas/Submission"},
            "archive": {"type": "string", "format": "binary", "description": "A tar or tar.gz."},
        },
    },
    "encoding": {"goal": {"contentType": "application/json"}, "archive": {"contentType": "application/gzip"}},
}


@router.post("", status_code=202, response_model=Accepted, openapi_extra=_BODY)
async def submit(request: Request, caller: Submitter, parts: Uses, idempotency_key: IdempotencyKey = None) -> Response:
    """Accept a goal.

    It is on record when this answers. The work begins at once; follow it with the run's events.
    """
    async with asked(request, parts.bounds.submission_bytes) as wanted:
        return await run_sync(_submitted, parts, caller, wanted, idempotency_key)


@router.get("", response_model=RunPage)
def list_runs(
    caller: Reader,
    parts: Uses,
    status: Annotated[Status | None, Query(description="Only runs that stand so.")] = None,
    label: Annotated[
        list[LabelFilter] | None, Query(max_length=32, description="All must fit.", examples=[["team=vision"]])
    ] = None,
    text: Annotated[str, Query(max_length=200, description="Looked for in id, goal and summary, in any case.")] = "",
    cursor: Annotated[str, Query(max_length=200, description="`next_cursor` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> Response:
    """The tenant's runs, newest first. A page may be short, even empty: the list ends where `next_cursor` is null."""
    labels = dict(pair.split("=", 1) for pair in label or [])
    page = parts.catalog.list_runs(caller.tenant, status, labels, text, cursor, limit)
    return answer(
        RunPage.model_construct(
            items=[view(state, parts.grafana_url) for state in page.items], next_cursor=page.next_cursor or None
        )
    )


@router.get("/{run}", response_model=RunView)
async def show(
    caller: Reader,
    parts: Uses,
    run: RunId,
    wait: Annotated[
        float,
        Query(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False, description="Seconds to wait for the run to end or ask."),
    ] = 0,
) -> Response:
    """Where a run stands. With `wait`, answers when the run is over or needs a person, or when the time is."""
    state = await run_sync(parts.store.state_for, caller.tenant, run)
    if wait and rest(state) is None:
        await _rested(parts.hub, run, wait)
        state = await run_sync(parts.store.state_for, caller.tenant, run)
    return answer(view(state, parts.grafana_url))


class Cancellation(Input):
    """Why a run is to end, for whoever reads its log."""

    why: Line = ""


_CANCEL = takes(Cancellation, {"why": "superseded by pipeline 4712"}, required=False)


@router.post(
    "/{run}/cancel",
    status_code=202,
    response_model=Acknowledged,
    openapi_extra=_CANCEL,
    responses={200: {"model": Acknowledged}},
)
def cancel(
    caller: Canceller,
    parts: Uses,
    run: RunId,
    cancellation: Annotated[Cancellation, Depends(json_body(Cancellation, optional=True))],
) -> Response:
    """Have a run ended, with all its programs. Repeating it changes nothing; 200 where it was over already."""
    before = parts.store.state_for(caller.tenant, run)
    state = parts.store.record(run, "cancel", lambda now: cancelled(now, caller.name, cancellation.why))
    faults.reach("api.cancel_recorded")
    if not state.status.is_final:
        parts.hints.publish(run)
    return answer(Acknowledged(run=run, status=state.status), 200 if before.status.is_final else 202)


def cancelled(state: RunState, author: str, why: str) -> Draft:
    """What a cancel adds to the log of a run that stands so; nothing where it is over or ending."""
    if state.status.is_final or state.status is Status.CANCELLING:
        return Draft(())
    move = ev.StatusChanged(source=state.status, target=Status.CANCELLING, reason=Reason.CANCELLED_BY_USER, detail=why)
    return Draft((ev.CancelRequested(author=author, why=why), move))


def _submitted(parts: Parts, caller: KeyRecord, wanted: Asked, idempotency_key: str | None) -> Response:
    run = new_run_id() if idempotency_key is None else _run_of(caller.tenant, idempotency_key)
    # What the same request brought before is not stored again, nor is its deadline asked for once more.
    is_known = idempotency_key is not None and parts.store.last_seq(run) > 0
    accepted = _accepted(parts, caller, wanted, is_known=is_known)
    try:
        is_new = parts.store.create(run, wanted.digest, accepted)
    except Conflict as error:
        raise KeyReused(str(error)) from error
    faults.reach("api.run_created")
    # Also for a repeated request: the first one may have died before its hint.
    parts.hints.publish(run)
    headers = {"Location": f"/v1/runs/{run}"} | ({} if is_new else {"Idempotent-Replayed": "true"})
    return answer(Accepted(run=run, links=links(run)), 202, headers)


def _run_of(tenant: str, idempotency_key: str) -> str:
    return run_id_from(sha256(f"{tenant}\0{idempotency_key}".encode()).digest())


def _accepted(parts: Parts, caller: KeyRecord, wanted: Asked, *, is_known: bool) -> ev.RunAccepted:
    goal = wanted.submission
    model = goal.model or parts.default_model
    if not model:
        raise BadField("this install has no model of its own; name one", "model")
    if not is_known:
        submission.check_deadline(goal, time.time())
        submission.check_resources(goal, caller.tenant, parts.pools)
    snapshot = EMPTY if is_known else submission.input_snapshot(wanted, parts.workspace)
    if not is_known:
        submission.check_evaluation_data(goal, snapshot, parts.workspace)
    return ev.RunAccepted(
        tenant=caller.tenant,
        goal=goal.goal,
        model=model,
        limits=goal.limits,
        labels=goal.labels,
        snapshot=snapshot,
        deadline=goal.deadline,
        accepted_by=caller.name,
        resources=Needs() if goal.resources is None else Needs(**dict(goal.resources)),
        rules=Terms() if goal.rules is None else goal.rules.terms,
        fallback_model=goal.fallback_model or "",
        effort=goal.effort or "",
    )


async def _rested(hub: Hub, run: str, seconds: float) -> None:
    """Return when the run rests, the time is over, or this process is going to end."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    async with hub.feed(run) as feed:
        while feed.rest is None and not hub.is_closing and (left := until - clock()) > 0:
            await feed.news(left)
