"""Downloads: artifacts, logs, files of a workspace. What lands on disk is whole or absent."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.cli.client import ApiClient, Query, path_of
from services.cli.problems import Unreachable
from services.core.records import FileRef

_LOG_PIECE = 1 << 20


def artifacts(api: ApiClient, run: str) -> list[FileRef]:
    """What a run made, as the API lists it."""
    return [FileRef.model_validate(item) for item in api.get(path_of("v1", "runs", run, "artifacts"))["items"]]


def artifact_pieces(api: ApiClient, run: str, path: str) -> Iterator[bytes]:
    """The bytes of an artifact."""
    return _body(api, path_of("v1", "runs", run, "artifacts", *path.split("/")))


def workspace_file_pieces(api: ApiClient, run: str, path: str) -> Iterator[bytes]:
    """The bytes of a file in the newest workspace."""
    return _body(api, path_of("v1", "runs", run, "workspace", "files", *path.split("/")))


def trace_pieces(api: ApiClient, run: str) -> Iterator[bytes]:
    """All events of a run as JSON lines."""
    return _body(api, path_of("v1", "runs", run, "trace"))


def log_pieces(api: ApiClient, run: str, step: str, which: Query) -> Iterator[bytes]:
    """What there is of a log at this moment. `which` names the `attempt` (else the last) and the `rank` (else all)."""
    path, offset = path_of("v1", "runs", run, "steps", step, "log"), 0
    limit: Query = {"limit": _LOG_PIECE}
    while True:
        before = offset
        with api.download(path, {**which, **limit, "offset": offset}) as part:
            for chunk in part.chunks:
                yield chunk
                offset += len(chunk)
            size = int(part.headers.get("x-log-size", -1))
        if offset in (before, size) or not limit:
            return
        if size < 0:
            # The lines of all ranks are put together from their first one on, each time they are asked for.
            limit = {}


def save(pieces: Iterable[bytes], target: Path, sha256: str = "") -> None:
    """Write `pieces` to `target`, which is whole, and has the digest if one is given, or is not touched.

    Raises `Unreachable` where the digest is another.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, digest = target.with_name(f".{target.name}.part"), hashlib.sha256()
    try:
        with partial.open("wb") as out:
            for chunk in pieces:
                digest.update(chunk)
                out.write(chunk)
        if sha256 and digest.hexdigest() != sha256:
            raise Unreachable(f"{target.name} did not arrive as it was stored; try again")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _body(api: ApiClient, path: str) -> Iterator[bytes]:
    with api.download(path) as body:
        yield from body.chunks
