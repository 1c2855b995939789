"""Where the artifact store's bytes lie: the protocol, and a directory on a local or shared disk.

Knows nothing of hashes and of what keys mean. Object stores are in `artifacts`, the only door to fsspec.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from services.core.durable import make_directories, settle, sync_directory, write_durably

_ABANDONED_SECONDS = 24 * 3600.0
REFRESH_SECONDS = 24 * 3600.0
"""What was written longer ago than this and is wanted again counts as new from then on: so whatever is older than two
days has been wanted by nobody since. Who removes garbage goes by that."""


@dataclass(frozen=True)
class Entry:
    """Something on a shelf. `written` is when it was written, or wanted again, in seconds since the epoch."""

    key: str
    size: int
    written: float


class Shelf(Protocol):
    """Where bytes lie. Keys are relative, slash-separated and already checked; a missing one is FileNotFoundError."""

    scratch: Path

    def write(self, key: str, data: bytes) -> None: ...
    def adopt(self, spooled: Path, key: str) -> None: ...
    def holds(self, key: str, size: int) -> bool: ...
    def read(self, key: str) -> bytes: ...
    def open(self, key: str) -> BinaryIO: ...
    def size(self, key: str) -> int: ...
    def delete(self, key: str) -> None: ...
    def list(self, directory: str) -> list[str]: ...
    def entries(self, directory: str) -> Iterator[Entry]: ...
    def discard(self, key: str, before: float) -> bool: ...


class DiskShelf:
    """A directory. fsspec's own local files are neither fsynced nor written beside their target, so not used."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.scratch = root / "tmp"
        make_directories(self.scratch)
        self._remove_abandoned()

    def _remove_abandoned(self) -> None:
        """What killed writers left behind. A day is longer than any write takes, so no living one is hurt."""
        for path in self.scratch.iterdir():
            try:
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue  # Its writer, or another process at start, was faster.

    def write(self, key: str, data: bytes) -> None:
        write_durably(self._root / key, [data], self.scratch)

    def adopt(self, spooled: Path, key: str) -> None:
        settle(spooled, self._root / key)

    def holds(self, key: str, size: int) -> bool:
        path = self._root / key
        try:
            found = path.stat()
            held = found.st_size == size
            if held and time.time() - found.st_mtime > REFRESH_SECONDS:
                # Fails where it is being removed right now; then it has to be written anew.
                os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if held:
            # Another writer may have renamed it a moment ago and not synced yet; we answer for it from here on.
            sync_directory(path.parent)
        return held

    def read(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def open(self, key: str) -> BinaryIO:
        return (self._root / key).open("rb")

    def size(self, key: str) -> int:
        return (self._root / key).stat().st_size

    def delete(self, key: str) -> None:
        (self._root / key).unlink(missing_ok=True)

    def list(self, directory: str) -> list[str]:
        paths = (self._root / directory).rglob("*")
        return [path.relative_to(self._root).as_posix() for path in paths if path.is_file()]

    def entries(self, directory: str) -> Iterator[Entry]:
        for path in (self._root / directory).rglob("*"):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue  # Removed since it was listed.
            if path.is_file():
                yield Entry(path.relative_to(self._root).as_posix(), found.st_size, found.st_mtime)

    def discard(self, key: str, before: float) -> bool:
        """Remove what was neither written nor wanted since `before`. A writer that wants it at this very moment either
        finds it gone and writes it, or is noticed here, and it is put back."""
        path, aside = self._root / key, self.scratch / f"part-discarded-{os.getpid()}-{path_name(key)}"
        try:
            if path.stat().st_mtime >= before:
                return False
            os.replace(path, aside)
            if aside.stat().st_mtime >= before:
                os.replace(aside, path)
                return False
            aside.unlink()
        except FileNotFoundError:
            return False
        return True


def path_name(key: str) -> str:
    """A key as one name."""
    return key.replace("/", "_")[-200:]
