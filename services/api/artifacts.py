"""Artifacts: the files that a run's steps and the agent hand over."""

from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from services.api.auth import Reader
from services.api.parameters import FilePath, RunId
from services.api.parts import Uses
from services.api.views import ArtifactList, ArtifactView, Responses, answer
from services.core.artifacts import CHUNK_BYTES, ArtifactNotFound
from services.core.records import RunState

router = APIRouter(prefix="/v1/runs/{run}/artifacts", tags=["artifacts"])

BYTES: Responses = {
    200: {
        "description": "The file's bytes.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("", response_model=ArtifactList)
def list_artifacts(caller: Reader, parts: Uses, run: RunId) -> Response:
    """What the run handed over, and below `<step>/` the outputs of each step's last successful attempt."""
    return answer(ArtifactList(items=artifacts(parts.store.state_for(caller.tenant, run))))


@router.get("/{path:path}", response_class=StreamingResponse, responses=BYTES)
def download(caller: Reader, parts: Uses, run: RunId, path: FilePath) -> Response:
    """One artifact, by its path in the list."""
    state = parts.store.state_for(caller.tenant, run)
    found = next((artifact for artifact in artifacts(state) if artifact.path == path), None)
    if found is None:
        raise ArtifactNotFound(f"run {run} has no artifact {path!r}")
    return download_of(parts.artifacts.open(found.sha256), found.path, found.size)


def artifacts(state: RunState) -> list[ArtifactView]:
    """Everything the run made, each path once. What the agent handed over goes before a step's file of that name."""
    handed = [ArtifactView(**dict(file)) for file in state.artifacts]
    made = [
        ArtifactView(path=f"{name}/{file.path}", sha256=file.sha256, size=file.size, step=name)
        for name, step in sorted(state.steps.items())
        for attempt in [last for last in step.attempts if last.status == "succeeded"][-1:]
        for file in attempt.outputs
    ]
    return list({artifact.path: artifact for artifact in reversed([*handed, *made])}.values())[::-1]


def download_of(file: BinaryIO, path: str, size: int) -> Response:
    """A file as a download: never shown by a browser, whatever is in it."""
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.rpartition('/')[2], safe='')}",
    }
    return StreamingResponse(_pieces(file), media_type="application/octet-stream", headers=headers)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(CHUNK_BYTES):
            yield piece
