"""What an attempt's program starts with, for the runner to lay: its workspace, the outputs it uses, its checkpoint."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response, StreamingResponse

from services.api.artifacts import BYTES, download_of
from services.api.auth import Runner
from services.api.bodies import json_body, takes
from services.api.parameters import Sha256
from services.api.parts import Parts, Uses
from services.api.problems import BodyTooLarge
from services.api.views import answer
from services.core.artifacts import ArtifactNotFound
from services.core.attempts import AttemptOver
from services.core.errors import RunNotFound
from services.core.keys import run_of_attempt, split_rank
from services.core.manifest import PARCEL_BYTES, LaidFile, Manifest, Parcel, Root
from services.core.records import Attempt, RunState
from services.core.workspace import FILE_MODE, Workspace

router = APIRouter(prefix="/internal/v1/attempts/{attempt}", tags=["runner"])

_PARCEL = takes(Parcel, {"digests": ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]})


@router.get("/files", response_model=Manifest)
def list_files(attempt: Runner, parts: Uses) -> Response:
    """Every file to lay before the program starts, and into which directory."""
    manifest = _manifest(parts, attempt)
    parts.granted.grant(attempt, manifest)
    return answer(manifest)


@router.get("/blobs/{sha256}", response_class=StreamingResponse, responses=BYTES)
def get_blob(attempt: Runner, parts: Uses, sha256: Sha256) -> Response:
    """One file's bytes. Only what the attempt's own list names: a digest alone opens nothing of the shared store."""
    (size,) = _sizes(parts, attempt, (sha256,))
    return download_of(parts.artifacts.open(sha256), sha256, size)


@router.post("/parcel", response_class=Response, openapi_extra=_PARCEL, responses=BYTES)
def get_parcel(
    attempt: Runner, parts: Uses, wanted: Annotated[Parcel, Depends(json_body(Parcel, strict=False))]
) -> Response:
    """The bytes of several small files, one after the other. 413: they are more than goes into one answer."""
    size = sum(_sizes(parts, attempt, wanted.digests))
    if size > PARCEL_BYTES:
        raise BodyTooLarge(f"the files have {size} bytes; at most {PARCEL_BYTES} are given at once")
    data = b"".join(parts.artifacts.get(sha256) for sha256 in wanted.digests)
    return Response(data, media_type="application/octet-stream")


def manifest_of(state: RunState, attempt_name: str, workspace: Workspace) -> Manifest:
    """What the attempt's directories hold at its start. Raises `AttemptOver` for one that is not live, and what the
    workspace raises."""
    attempt = live_attempt(state, attempt_name)
    files = [
        LaidFile(root=Root.WORK, path=entry.path, sha256=entry.sha256, size=entry.size, mode=entry.mode)
        for entry in workspace.list(attempt.snapshot)
    ]
    files += [
        LaidFile(root=Root.IN, path=f"{name}/{file.path}", sha256=file.sha256, size=file.size, mode=FILE_MODE)
        for name in attempt.uses
        for file in state.steps[name].outputs
    ]
    if attempt.restores:
        files += [
            LaidFile(root=Root.CHECKPOINT, path=entry.path, sha256=entry.sha256, size=entry.size, mode=entry.mode)
            for entry in workspace.list(attempt.restores)
        ]
    return Manifest(files=tuple(files))


def _sizes(parts: Parts, attempt: str, digests: Sequence[str]) -> list[int]:
    """The sizes of files that the attempt may read. Raises `AttemptOver`, `ArtifactNotFound`."""
    if not parts.attempts.is_live(attempt):
        raise AttemptOver(f"attempt {attempt} is over, or never was")
    if None in (parts.granted.size(attempt, sha256) for sha256 in digests):
        parts.granted.grant(attempt, _manifest(parts, attempt))
    sizes = []
    for sha256 in digests:
        size = parts.granted.size(attempt, sha256)
        if size is None:
            raise ArtifactNotFound(f"attempt {attempt} has no file with the digest {sha256}")
        sizes.append(size)
    return sizes


def live_attempt(state: RunState, attempt: str) -> Attempt:
    """What the run knows of its live attempt, or of the one that a rank belongs to. Raises `AttemptOver`."""
    name, _ = split_rank(attempt)
    found = next((one for one in state.live_attempts() if one.id == name), None)
    if found is None:
        raise AttemptOver(f"attempt {attempt} is over, or never was")
    return found


def run_of(parts: Parts, attempt: str) -> RunState:
    """The state of the attempt's run. Raises `AttemptOver` where there is none any more."""
    try:
        return parts.store.state(run_of_attempt(attempt))
    except RunNotFound as error:
        raise AttemptOver(f"the run of {attempt} is gone") from error


def _manifest(parts: Parts, attempt: str) -> Manifest:
    return manifest_of(run_of(parts, attempt), attempt, parts.workspace)
