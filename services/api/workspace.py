"""A run's files: every version it ever had, whole, file by file, or as a difference.

A snapshot is named by its content and the store is shared, so one is shown only where the run's own log names it.
"""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from services.api.artifacts import BYTES, download_of
from services.api.auth import Reader
from services.api.parameters import MAX_NUMBER, FilePath, RunId, Snapshot
from services.api.parts import Uses
from services.api.views import EntryView, Responses, WorkspaceView, answer
from services.core import events as ev
from services.core.errors import BadRequest
from services.core.records import RunState
from services.core.store import RunStore
from services.core.trees import BadSnapshot

router = APIRouter(prefix="/v1/runs/{run}/workspace", tags=["workspace"])

_ARCHIVE: Responses = {
    200: {
        "description": "A tar.gz; the same bytes for the same snapshot.",
        "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_DIFF: Responses = {200: {"description": "A unified diff.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
Seq = Annotated[int | None, Query(ge=1, le=MAX_NUMBER, description="The files as they were after this event.")]


@router.get("", response_model=WorkspaceView)
def list_files(caller: Reader, parts: Uses, run: RunId, snapshot: Snapshot = None, seq: Seq = None) -> Response:
    """The run's files in one version, the present one unless told."""
    wanted = _chosen(parts.store, parts.store.state_for(caller.tenant, run), snapshot, seq)
    entries = [
        EntryView(path=entry.path, sha256=entry.sha256, size=entry.size, mode=entry.mode)
        for entry in parts.workspace.list(wanted)
    ]
    return answer(WorkspaceView(snapshot=wanted, entries=entries))


@router.get("/archive", response_class=StreamingResponse, responses=_ARCHIVE)
def archive(caller: Reader, parts: Uses, run: RunId, snapshot: Snapshot = None, seq: Seq = None) -> Response:
    """All files of one version as a tar.gz."""
    wanted = _chosen(parts.store, parts.store.state_for(caller.tenant, run), snapshot, seq)
    headers = {"Content-Disposition": f'attachment; filename="{run}-{wanted[:12]}.tar.gz"'}
    return StreamingResponse(parts.workspace.export_tar(wanted), media_type="application/gzip", headers=headers)


@router.get("/files/{path:path}", response_class=StreamingResponse, responses=BYTES)
def read_file(
    caller: Reader, parts: Uses, run: RunId, path: FilePath, snapshot: Snapshot = None, seq: Seq = None
) -> Response:
    """One file of one version."""
    wanted = _chosen(parts.store, parts.store.state_for(caller.tenant, run), snapshot, seq)
    entry = parts.workspace.entry(wanted, path)
    return download_of(parts.artifacts.open(entry.sha256), entry.path, entry.size)


@router.get("/diff", response_class=Response, responses=_DIFF)
def diff(
    caller: Reader,
    parts: Uses,
    run: RunId,
    before: Annotated[
        str | None,
        Query(alias="from", pattern=r"^[0-9a-f]{64}$", description="The files the goal brought unless told."),
    ] = None,
    after: Annotated[
        str | None, Query(alias="to", pattern=r"^[0-9a-f]{64}$", description="The present files unless told.")
    ] = None,
) -> Response:
    """What changed between two versions."""
    state = parts.store.state_for(caller.tenant, run)
    old = _chosen(parts.store, state, before or state.input_snapshot, None)
    new = _chosen(parts.store, state, after, None)
    return Response(parts.workspace.unified_diff(old, new).encode("utf-8", "replace"), media_type="text/plain")


def _chosen(store: RunStore, state: RunState, snapshot: str | None, seq: int | None) -> str:
    """The snapshot that is asked for, if it is one of this run's. Raises `BadSnapshot`, `BadRequest`."""
    if snapshot is not None and seq is not None:
        raise BadRequest("name a snapshot or a seq, not both", field="seq")
    if seq is not None:
        return _as_of(store, state, seq)
    if snapshot is None or snapshot == state.snapshot:
        return state.snapshot
    used = {attempt.snapshot for step in state.steps.values() for attempt in step.attempts}
    if snapshot in used or snapshot in _history(store, state.run, state.seq):
        return snapshot
    raise BadSnapshot(f"run {state.run} never had the snapshot {snapshot}")


def _as_of(store: RunStore, state: RunState, seq: int) -> str:
    if seq > state.seq:
        raise BadSnapshot(f"run {state.run} has {state.seq} events, none of them is {seq}")
    return _history(store, state.run, seq)[-1]


def _history(store: RunStore, run: str, last: int) -> list[str]:
    """The run's snapshots up to event `last`, in order."""
    found: list[str] = []
    seq = 0
    while events := store.events(run, after=seq, limit=min(1_000, last - seq)):
        for event in events:
            if isinstance(event.data, ev.RunAccepted | ev.WorkspaceChanged):
                found.append(event.data.snapshot)
        seq = events[-1].seq
        if seq >= last:
            break
    return found
