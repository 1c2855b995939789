"""Where the artifact store's bytes lie: the protocol, and a directory on a local or shared disk.

Knows nothing of hashes and of what keys mean. Object stores are in `artifacts`, the only door to fsspec.
"""

import time
from pathlib import Path
from typing import BinaryIO, Protocol

from services.core.durable import make_directories, settle, sync_directory, write_durably

_ABANDONED_SECONDS = 24 * 3600.0


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
            held = path.stat().st_size == size
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
