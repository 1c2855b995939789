"""The step's outputs: the regular files in its output directory, uploaded when its program is over.

What is not a plain file inside the directory is left out with a reason: a symbolic link could name any file of the
machine, a device or a pipe has no end.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import structlog

from services.core.paths import DEFAULT_LIMITS, BadPath, clean_path
from services.core.records import FileRef
from services.runner.ship import AttemptClient, Unwanted

log = structlog.get_logger()

_READ_BYTES = 1 << 20
_TOLD = 50
# Of one directory: far beyond any limit on files, and still little memory.
_LISTED = 100_000

Read = Callable[[], Iterator[bytes]]
T = TypeVar("T")


@dataclass(frozen=True)
class OutputLimits:
    """How much a step may hand over."""

    files: int = 10_000
    bytes: int = 200 * 2**30


@dataclass(frozen=True)
class Skipped:
    """Something that is not uploaded, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Survey:
    """What an output directory holds: the paths to upload, and the first of what is left out with its full count."""

    paths: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    skipped_count: int


@dataclass(frozen=True)
class Uploaded:
    """What the API has now, and what it has not, in words."""

    files: tuple[FileRef, ...]
    warnings: tuple[str, ...]


def upload(directory: Path, client: AttemptClient, limits: OutputLimits) -> Uploaded:
    """Send every file of the directory. To send one again is harmless, so a restarted sidecar simply begins anew.

    Raises what `AttemptClient` raises, but a file that cannot be read or is not wanted is only left out.
    """
    plan = survey(directory, limits)
    files: list[FileRef] = []
    skipped = list(plan.skipped)
    for path in plan.paths:
        try:
            files.append(send(directory, path, partial(client.put_output, path)))
        except (OSError, Unwanted) as error:
            log.warning("output_skipped", path=path, why=str(error))
            skipped.append(Skipped(path, str(error)))
    warnings = [f"{each.path}: {each.why}" for each in skipped]
    if plan.skipped_count > len(plan.skipped):
        warnings.append(f"and {plan.skipped_count - len(plan.skipped)} more")
    return Uploaded(tuple(files), tuple(warnings))


def survey(directory: Path, limits: OutputLimits) -> Survey:
    """Look through the directory, without following any link. A directory that is not there holds nothing."""
    paths: list[str] = []
    skipped: list[Skipped] = []
    count = total = 0
    for path, status in walk(directory):
        why = problem(path, status)
        if why is None and len(paths) >= limits.files:
            why = f"more than {limits.files} files"
        if why is None and isinstance(status, os.stat_result):
            if total + status.st_size <= limits.bytes:
                total += status.st_size
                paths.append(path)
                continue
            why = f"more than {limits.bytes} bytes in all"
        count += 1
        if len(skipped) < _TOLD:
            skipped.append(Skipped(os.fsencode(path).decode(errors="backslashreplace"), why or ""))
    return Survey(tuple(paths), tuple(skipped), count)


def walk(top: Path) -> Iterator[tuple[str, os.stat_result | str]]:
    """Every path below `top` that is no directory, with its status or why there is none, in an order that stays."""
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(top / directory) as listing:
                entries = sorted(islice(listing, _LISTED), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield directory or ".", f"cannot be listed: {error.strerror}"
            continue
        below = []
        for entry in entries:
            path = f"{directory}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                try:
                    yield path, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # Gone since the listing: in a directory that the program still writes to.
            elif path.count("/") + 1 < DEFAULT_LIMITS.depth:
                below.append(f"{path}/")
            else:
                yield path, f"more than {DEFAULT_LIMITS.depth} directories deep"
        waiting.extend(reversed(below))


def problem(path: str, status: os.stat_result | str) -> str | None:
    """Why what lies at `path` is not uploaded, or None."""
    if isinstance(status, str):
        return status
    if stat.S_ISLNK(status.st_mode):
        return "a symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    try:
        clean_path(path)
    except BadPath as error:
        return str(error)
    return None


def send(directory: Path, path: str, put: Callable[[str, int, Read], T]) -> T:
    """What `put` returns for the file's sha256, its size, and a function that gives its bytes, anew at each call.

    Raises what `put` raises, and OSError.
    """
    # O_NONBLOCK: should the file have become a pipe since, opening it must not wait for a writer.
    descriptor = os.open(directory / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        digest, size = hashlib.sha256(), 0
        while data := file.read(_READ_BYTES):
            digest.update(data)
            size += len(data)

        def read() -> Iterator[bytes]:
            file.seek(0)
            left = size
            while left:
                data = file.read(min(left, _READ_BYTES))
                if not data:
                    raise OSError(f"{path} shrank while it was read")
                left -= len(data)
                yield data

        return put(digest.hexdigest(), size, read)
