"""Filling an attempt's directories before its program starts: what the init container of a pod does.

Copies the shim with the interpreter it brings, then fetches the files the API lists, small ones many in a request and
several requests at a time; each is checked against its digest and put in place in one move. Done again after a death,
it ends with the same files.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.core.errors import CohortError
from services.core.manifest import PARCEL_BYTES, PARCEL_FILES, LaidFile, Root
from services.core.paths import clean_path
from services.runner.ship import AttemptClient, Refused

log = structlog.get_logger()

Place = tuple[Path, int]
"""Where a file belongs, and its permission bits."""

_PARALLEL = 8
# Larger ones come as a stream, which takes no memory.
_SMALL_BYTES = 64 * 1024
_DAMAGED_TIMES = 5
# The program may run as another user of the same group.
_DIRECTORY_MODE = 0o775
_GROUP_WRITES = 0o020
_OWNER_WRITES = 0o200


class Damaged(CohortError):
    """However often it is fetched, a file does not have its digest: the artifact store lost or changed bytes."""


@dataclass(frozen=True)
class Laid:
    """What was put in place."""

    files: int
    bytes: int


def lay(roots: Mapping[Root, Path], client: AttemptClient) -> Laid:
    """Put every listed file below its root. Raises `Damaged`, `BadPath`, OSError, and what `AttemptClient` raises."""
    places: dict[str, list[Place]] = {}
    listed = client.files().files
    for file in listed:
        places.setdefault(file.sha256, []).append((roots[file.root] / clean_path(file.path), _mode(file)))
    for directory in {*roots.values(), *(path.parent for targets in places.values() for path, _ in targets)}:
        _make(directory)
    sizes = {file.sha256: file.size for file in listed}
    small = {sha256: size for sha256, size in sizes.items() if size <= _SMALL_BYTES}
    with ThreadPoolExecutor(_PARALLEL) as pool:
        tasks = [pool.submit(_fetch, sha256, places[sha256], client) for sha256 in sizes if sha256 not in small]
        tasks += [pool.submit(_fetch_together, parcel, places, client) for parcel in parcels_of(small)]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Laid(len(listed), sum(file.size for file in listed))


def carry(source: Path, target: Path) -> None:
    """Copy the shim's directory, for a container whose image has nothing that could run it. `target` itself may belong
    to another user."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, copy)
            copy.chmod(path.stat().st_mode & 0o777)


def parcels_of(sizes: Mapping[str, int]) -> list[dict[str, int]]:
    """Objects and their sizes, put together into as few parcels as the API gives them in, in this order. Pure."""
    parcels: list[dict[str, int]] = []
    room = 0
    for sha256, size in sizes.items():
        if not parcels or size > room or len(parcels[-1]) == PARCEL_FILES:
            parcels.append({})
            room = PARCEL_BYTES
        parcels[-1][sha256] = size
        room -= size
    return parcels


def _fetch_together(parcel: Mapping[str, int], places: Mapping[str, Sequence[Place]], client: AttemptClient) -> None:
    """Fetch several small objects at once; each that does not come that way, or not whole, by itself."""
    try:
        data = client.get_parcel(list(parcel))
    except Refused as error:
        log.info("parcel_refused", files=len(parcel), why=str(error))
        data = b""
    offset = 0
    for sha256, size in parcel.items():
        piece = data[offset : offset + size]
        offset += size
        if hashlib.sha256(piece).hexdigest() == sha256:
            scratch = _scratch(sha256, places[sha256])
            scratch.write_bytes(piece)
            _spread(sha256, scratch, places[sha256])
        else:
            _fetch(sha256, places[sha256], client)


def _fetch(sha256: str, targets: Sequence[Place], client: AttemptClient) -> None:
    """Fetch one object into all its places."""
    first, _ = targets[0]
    scratch = _scratch(sha256, targets)
    for _ in range(_DAMAGED_TIMES):
        if _receive(sha256, scratch, client) == sha256:
            break
        log.warning("file_damaged", sha256=sha256)
    else:
        raise Damaged(f"{first}: its bytes do not have the digest {sha256}; restore the object from a backup")
    _spread(sha256, scratch, targets)


def _scratch(sha256: str, targets: Sequence[Place]) -> Path:
    """Where an object is received, beside its first place."""
    return targets[0][0].with_name(f".{sha256}.part")


def _spread(sha256: str, scratch: Path, targets: Sequence[Place]) -> None:
    """Move what was received into its first place, and copies of it into the others."""
    for other, other_mode in targets[1:]:
        copy = other.with_name(f".{sha256}.part-{other.name}"[:255])
        shutil.copyfile(scratch, copy)
        _settle(copy, other, other_mode)
    _settle(scratch, *targets[0])


def _receive(sha256: str, scratch: Path, client: AttemptClient) -> str:
    """Write the object to `scratch`; returns the digest of what came."""
    digest = hashlib.sha256()

    def take(pieces: Iterator[bytes]) -> None:
        nonlocal digest
        digest = hashlib.sha256()
        with scratch.open("wb") as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)

    client.get_blob(sha256, take)
    return digest.hexdigest()


def _settle(scratch: Path, target: Path, mode: int) -> None:
    scratch.chmod(mode)
    scratch.replace(target)


def _mode(file: LaidFile) -> int:
    return file.mode | (_GROUP_WRITES if file.mode & _OWNER_WRITES else 0)


def _make(directory: Path) -> None:
    """Make the directory where it is not, writable for the group as far down as it is ours."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        os.chmod(path, _DIRECTORY_MODE)
