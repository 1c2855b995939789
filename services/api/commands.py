"""The commands of a sandbox: given to its sidecar one by one, with the files they run in, and answered by it."""

import time
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path
from pydantic import Field, StringConstraints
from starlette.responses import Response, StreamingResponse

from services.api.artifacts import BYTES, download_of
from services.api.auth import Runner
from services.api.bodies import json_body, takes
from services.api.files import live_attempt, run_of
from services.api.ingest import PodUid
from services.api.parameters import Sha256
from services.api.parts import Parts, Uses
from services.api.problems import BadField
from services.api.views import answer
from services.core import faults
from services.core.artifacts import ArtifactNotFound
from services.core.attempts import AttemptOver
from services.core.commands import Brought, NextCommand, Order, Outcome
from services.core.errors import RunNotFound
from services.core.keys import run_of_attempt
from services.core.manifest import LaidFile, Manifest, Root
from services.core.paths import clean_path
from services.core.record import Record
from services.core.tokens import is_receipt

router = APIRouter(prefix="/internal/v1/attempts/{attempt}/commands", tags=["runner"])

# An announcement can be lost; a sidecar that heard nothing for so long asks anew.
_LOOK_SECONDS = 1.0
_HOLD_SECONDS = 20.0

Call = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
CallId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="A command's tool call.", examples=["call_3_0"])
]


class IdleSidecar(Record):
    """A sidecar that could do with a command. `tended`: the ones it has. `is_over`: it can begin no more."""

    pod_uid: PodUid
    tended: Annotated[tuple[Call, ...], Field(max_length=1_000)] = ()
    is_over: bool = False


class CommandReport(Record):
    """How a command ended, as the execution says that took it."""

    pod_uid: PodUid
    outcome: Outcome


_IDLE = takes(IdleSidecar, {"pod_uid": "6f0c5f1e-5a3c-4c57-9f0e-2f3f1c9d8a77", "tended": ["call_3_0"]})
_REPORT = takes(
    CommandReport,
    {
        "pod_uid": "6f0c5f1e-5a3c-4c57-9f0e-2f3f1c9d8a77",
        "outcome": {"exit_code": 0, "reason": "exited", "output": "aGVsbG8K", "changes": [{"path": "old.txt"}]},
    },
)


@router.post("/next", response_model=NextCommand, openapi_extra=_IDLE)
async def take_next(
    attempt: Runner, parts: Uses, idle: Annotated[IdleSidecar, Depends(json_body(IdleSidecar, strict=False))]
) -> Response:
    """The next command, once there is one; or that the sandbox is to end; or neither, after a while: ask again.

    A command that this execution took and does not tend is given to it again.
    """
    sandbox = live_attempt(await run_sync(run_of, parts, attempt), attempt)
    take = partial(
        parts.sandboxes.next, attempt, idle.pod_uid, idle.tended, sandbox.resources.gpus, is_over=idle.is_over
    )
    until = time.monotonic() + (0.0 if idle.is_over else _HOLD_SECONDS)
    try:
        async with parts.hub.feed(run_of_attempt(attempt)) as feed:
            while True:
                found = await run_sync(take)
                left = until - time.monotonic()
                if found.order is not None or found.end or left <= 0 or parts.hub.is_closing:
                    break
                await feed.news(min(_LOOK_SECONDS, left))
    except RunNotFound as error:
        raise AttemptOver(f"the run of {attempt} is gone") from error
    faults.reach("api.command_taken")
    return answer(found)


@router.get("/{call}/files", response_model=Manifest)
def list_files(attempt: Runner, parts: Uses, call: CallId) -> Response:
    """The workspace that a command of this attempt runs in."""
    manifest = _manifest(parts, parts.sandboxes.order(attempt, call))
    parts.granted.grant(f"{attempt}/{call}", manifest)
    return answer(manifest)


@router.get("/{call}/blobs/{sha256}", response_class=StreamingResponse, responses=BYTES)
def get_blob(attempt: Runner, parts: Uses, call: CallId, sha256: Sha256) -> Response:
    """One file's bytes. Only what the command's own list names: a digest alone opens nothing of the shared store."""
    order = parts.sandboxes.order(attempt, call)
    name = f"{attempt}/{call}"
    size = parts.granted.size(name, sha256)
    if size is None:
        parts.granted.grant(name, _manifest(parts, order))
        size = parts.granted.size(name, sha256)
    if size is None:
        raise ArtifactNotFound(f"the workspace of {call} has no file with the digest {sha256}")
    return download_of(parts.artifacts.open(sha256), sha256, size)


@router.post("/{call}/outcome", status_code=204, response_class=Response, openapi_extra=_REPORT)
def put_outcome(
    attempt: Runner,
    parts: Uses,
    call: CallId,
    report: Annotated[CommandReport, Depends(json_body(CommandReport, strict=False))],
) -> Response:
    """Record how a command ended. The first report stands; repeating it is answered the same."""
    _check(parts, attempt, report.outcome)
    parts.sandboxes.done(attempt, report.pod_uid, call, report.outcome)
    faults.reach("api.outcome_recorded")
    return Response(status_code=204)


def _manifest(parts: Parts, order: Order) -> Manifest:
    entries = parts.workspace.list(order.snapshot)
    files = (
        LaidFile(root=Root.WORK, path=each.path, sha256=each.sha256, size=each.size, mode=each.mode) for each in entries
    )
    return Manifest(files=tuple(files))


def _check(parts: Parts, attempt: str, outcome: Outcome) -> None:
    """Only what this attempt brought becomes the run's: a digest alone would open any object of the shared store.

    Raises `BadField`, and `BadPath`.
    """
    brought: list[tuple[str, Brought]] = []
    for index, change in enumerate(outcome.changes):
        clean_path(change.path)
        if change.content is not None:
            brought.append((f"outcome.changes.{index}", change.content))
    if outcome.output_object is not None:
        brought.append(("outcome.output_object", outcome.output_object))
    for field, each in brought:
        if not is_receipt(parts.runner_secret, attempt, each.sha256, each.size, each.receipt):
            raise BadField(f"{each.sha256} has not been brought by this attempt", field)
