"""A shelf on any file system that fsspec knows: object stores, mostly. The other half of `artifacts`."""

import io
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from services.core.shelf import REFRESH_SECONDS, Entry

# What the drivers call the time at which an object was written: s3fs, gcsfs, adlfs, memory, others.
_WRITTEN = ("LastModified", "updated", "last_modified", "created", "mtime")


class RemoteShelf:
    """Any other fsspec file system."""

    def __init__(self, files: fsspec.AbstractFileSystem, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self.scratch = Path(tempfile.gettempdir())

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def write(self, key: str, data: bytes) -> None:
        self._files.pipe_file(self._path(key), data)

    def adopt(self, spooled: Path, key: str) -> None:
        self._files.put_file(str(spooled), self._path(key))

    def holds(self, key: str, size: int) -> bool:
        # What is old is written again, which makes it new: see `REFRESH_SECONDS`.
        try:
            found = self._files.info(self._path(key))
        except FileNotFoundError:
            return False
        return int(found["size"]) == size and time.time() - written_at(found) <= REFRESH_SECONDS

    def read(self, key: str) -> bytes:
        return cast(bytes, self._files.cat_file(self._path(key)))

    def open(self, key: str) -> BinaryIO:
        if isinstance(self._files, MemoryFileSystem):
            # Its files share one position among all readers.
            return io.BytesIO(self.read(key))
        return cast(BinaryIO, self._files.open(self._path(key), "rb"))

    def size(self, key: str) -> int:
        return int(self._files.info(self._path(key))["size"])

    def delete(self, key: str) -> None:
        try:
            self._files.rm_file(self._path(key))
        except FileNotFoundError:
            return

    def list(self, directory: str) -> list[str]:
        start = self._start()
        return [path[start:] for path in self._files.find(self._path(directory))]

    def entries(self, directory: str) -> Iterator[Entry]:
        start = self._start()
        for path, found in self._files.find(self._path(directory), detail=True).items():
            yield Entry(path[start:], int(found["size"]), written_at(found))

    def discard(self, key: str, before: float) -> bool:
        """Object stores know no "remove unless": a writer may come between the look and the removal. What is wanted
        again is written again, so this can only hurt within that moment."""
        try:
            if written_at(self._files.info(self._path(key))) >= before:
                return False
            self._files.rm_file(self._path(key))
        except FileNotFoundError:
            return False
        return True

    def _start(self) -> int:
        return len(self._files._strip_protocol(self._root).rstrip("/")) + 1


def written_at(found: Mapping[str, Any]) -> float:
    """When an object was written, in seconds since the epoch. Now, where its driver does not tell: then it is never
    garbage."""
    for name in _WRITTEN:
        value = found.get(name)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            return datetime.fromisoformat(value).timestamp()
    return time.time()
