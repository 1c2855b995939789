"""The checkpoints of an attempt: versions of its checkpoint directory, brought by its sidecar file by file.

A version is a snapshot in the artifact store, like a workspace: files that stayed the same are there once. It counts
from the moment at which it is whole; whatever dies before leaves the version before it.
"""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from services.api.auth import Runner
from services.api.bodies import chunks, json_body, takes
from services.api.files import live_attempt, run_of
from services.api.ingest import RAW_BODY, Sha256Header, pulled
from services.api.parts import Parts, Uses
from services.api.problems import BadChecksum, BadField
from services.api.views import answer
from services.core import faults
from services.core.artifacts import Blob
from services.core.attempts import AttemptOver
from services.core.manifest import CHECKPOINT_LIMITS, KeptFile, Version
from services.core.tokens import is_receipt, receipt
from services.core.workspace import EMPTY, Change, Entry, Workspace, clean_path

router = APIRouter(prefix="/internal/v1/attempts/{attempt}/checkpoint", tags=["runner"])


class Received(BaseModel):
    """An object of a coming version, and our word that this attempt brought it."""

    sha256: str
    size: int
    receipt: str


class Kept(BaseModel):
    """The version that is the newest now."""

    number: int


_VERSION = takes(
    Version,
    {
        "number": 1,
        "files": [
            {"path": "step-100/weights.bin", "sha256": "e3b0c442" + "0" * 56, "size": 0, "mode": 420, "receipt": ""}
        ],
    },
)


@router.get("", response_model=Version)
def newest(attempt: Runner, parts: Uses) -> Response:
    """The newest version; the one that the attempt began with, as number 0, while it has left none."""
    began_with = live_attempt(run_of(parts, attempt), attempt).restores
    record = parts.attempts.record(attempt)
    entries = _entries(parts, record.checkpoint or began_with)
    files = [KeptFile(path=each.path, sha256=each.sha256, size=each.size, mode=each.mode) for each in entries]
    return answer(Version(number=record.checkpoint_number, files=tuple(files)))


@router.put("/objects", status_code=201, response_model=Received, openapi_extra=RAW_BODY)
async def put_object(request: Request, attempt: Runner, parts: Uses, x_sha256: Sha256Header) -> Response:
    """Store one file's bytes. The same bytes again are no error."""
    if not await run_sync(parts.attempts.is_live, attempt):
        raise AttemptOver(f"attempt {attempt} is over, or never was")
    blob = await run_sync(parts.artifacts.put_stream, pulled(chunks(request, parts.bounds.output_bytes)))
    if blob.sha256 != x_sha256:
        raise BadChecksum("the body does not have the digest in X-Sha256")
    word = receipt(parts.runner_secret, attempt, blob.sha256, blob.size)
    return answer(Received(sha256=blob.sha256, size=blob.size, receipt=word), 201)


@router.put("", response_model=Kept, openapi_extra=_VERSION)
def put_version(
    attempt: Runner, parts: Uses, version: Annotated[Version, Depends(json_body(Version, strict=False))]
) -> Response:
    """Make this the newest version. A number that is known already, or an older one, changes nothing."""
    began_with = live_attempt(run_of(parts, attempt), attempt).restores
    record = parts.attempts.record(attempt)
    if version.number > record.checkpoint_number:
        known = {(each.sha256, each.size) for root in (began_with, record.checkpoint) for each in _entries(parts, root)}
        _check_brought(parts, attempt, version, known)
        checkpoints = Workspace(parts.artifacts, CHECKPOINT_LIMITS)
        changes = [Change(file.path, Blob(file.sha256, file.size), file.mode) for file in version.files]
        parts.attempts.add_checkpoint(attempt, version.number, checkpoints.apply(EMPTY, changes))
        faults.reach("api.checkpoint_recorded")
    return answer(Kept(number=max(version.number, record.checkpoint_number)))


def _check_brought(parts: Parts, attempt: str, version: Version, known: set[tuple[str, int]]) -> None:
    """Only what this attempt brought, or began with, is part of its checkpoint. Raises `BadField`."""
    for index, file in enumerate(version.files):
        clean_path(file.path, CHECKPOINT_LIMITS)
        is_known = (file.sha256, file.size) in known
        if not is_known and not is_receipt(parts.runner_secret, attempt, file.sha256, file.size, file.receipt):
            raise BadField(f"{file.path!r} has not been brought by this attempt", f"files.{index}")


def _entries(parts: Parts, snapshot: str) -> list[Entry]:
    return parts.workspace.list(snapshot) if snapshot else []
