"""The artifact store: immutable objects by content hash, and named objects for logs and archives.

The only door to fsspec, so the rest of Cohort neither knows nor cares which storage the URL names. On `file://` a write
is atomic and durable (see `durable`); on object stores it is as atomic as their single-object upload, which all of them
promise. What is garbage is decided by whoever knows all runs (see `services.keeping.garbage`).
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from services.core.contents import CHUNK_BYTES, ArtifactDamaged, ArtifactNotFound, ArtifactStoreUnavailable, Blob
from services.core.durable import spool
from services.core.errors import CohortError
from services.core.paths import clean_path
from services.core.remote_shelf import RemoteShelf
from services.core.shelf import DiskShelf, Entry, Shelf

__all__ = [
    "CHUNK_BYTES",
    "ArtifactDamaged",
    "ArtifactNotFound",
    "ArtifactStore",
    "ArtifactStoreUnavailable",
    "Blob",
]

_PARALLEL_PUTS = 16
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class ArtifactStore:
    """The store at an fsspec URL: `file:///var/lib/cohort/artifacts`, `s3://bucket/prefix`, `memory://name` …

    Safe for any number of threads and processes on the same URL. Every method raises `ArtifactStoreUnavailable`;
    every reading one also `ArtifactNotFound`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with _writing():
            self._shelf = _shelf(url)

    def put(self, data: bytes) -> str:
        """Store `data`; returns its sha256 in hex. Storing what is there already costs no write."""
        sha256 = hashlib.sha256(data).hexdigest()
        with _writing():
            if not self._shelf.holds(_cas_key(sha256), len(data)):
                self._shelf.write(_cas_key(sha256), data)
        return sha256

    def put_many(self, objects: Iterable[bytes]) -> list[str]:
        """Store many small objects, several at a time; returns their hashes in order. Holds a few in memory only."""
        hashes: list[str] = []
        with ThreadPoolExecutor(_PARALLEL_PUTS) as pool:
            under_way: deque[Future[str]] = deque()
            for data in objects:
                under_way.append(pool.submit(self.put, data))
                if len(under_way) >= 2 * _PARALLEL_PUTS:
                    hashes.append(under_way.popleft().result())
            hashes.extend(future.result() for future in under_way)
        return hashes

    def put_file(self, path: Path | str) -> Blob:
        """Store a file of any size. A file that changes meanwhile is stored as it was read, under the right hash."""
        with Path(path).open("rb") as file:
            return self.put_stream(iter(lambda: file.read(CHUNK_BYTES), b""))

    def put_stream(self, chunks: Iterable[bytes]) -> Blob:
        """Store the concatenation of `chunks` in constant memory. An error raised by `chunks` stores nothing.

        An OSError of `chunks` looks like one of the storage: `ArtifactStoreUnavailable`.
        """
        digest, size = hashlib.sha256(), 0

        def tee() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        try:
            spooled = spool(tee(), self._shelf.scratch)
        except OSError as error:
            raise ArtifactStoreUnavailable(f"artifact store: cannot spool in {self._shelf.scratch}: {error}") from error
        blob = Blob(digest.hexdigest(), size)
        with _writing():
            try:
                if not self._shelf.holds(_cas_key(blob.sha256), size):
                    self._shelf.adopt(spooled, _cas_key(blob.sha256))
            finally:
                spooled.unlink(missing_ok=True)
        return blob

    def get(self, sha256: str) -> bytes:
        """The whole object, checked against its name. For what may be large use `open`. Raises `ArtifactDamaged`."""
        with _reading(sha256):
            data = self._shelf.read(_cas_key(sha256))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ArtifactDamaged(f"object {sha256} does not hash to its name; restore it from a backup")
        return data

    def open(self, sha256: str) -> BinaryIO:
        """The object as a seekable file; the caller closes it. Not checked against its name."""
        with _reading(sha256):
            return self._shelf.open(_cas_key(sha256))

    def size(self, sha256: str) -> int:
        """The object's size in bytes."""
        with _reading(sha256):
            return self._shelf.size(_cas_key(sha256))

    def exists(self, sha256: str) -> bool:
        """Whether the object is there."""
        try:
            self.size(sha256)
        except ArtifactNotFound:
            return False
        return True

    def stored(self) -> Iterator[Entry]:
        """Every object with its size and age; their keys are the hashes. Lists one part in 256 at a time."""
        with _writing():
            for part in range(256):
                for entry in self._shelf.entries(f"cas/{part:02x}"):
                    name = entry.key.rpartition("/")[2]
                    if _SHA256.match(name):
                        yield replace(entry, key=name)

    def discard(self, sha256: str, before: float) -> bool:
        """Remove an object that nobody has put since `before`, in seconds since the epoch. False: somebody has."""
        with _writing():
            return self._shelf.discard(_cas_key(sha256), before)

    def stored_named(self, prefix: str) -> Iterator[Entry]:
        """Every named object below a directory, with its size and age."""
        with _writing():
            for entry in self._shelf.entries(_named_key(prefix)):
                yield replace(entry, key=entry.key.removeprefix("named/"))

    def put_named(self, key: str, data: bytes) -> None:
        """Create or replace a named object atomically. Keys follow the rules of `paths.clean_path`."""
        with _writing():
            self._shelf.write(_named_key(key), data)

    def get_named(self, key: str) -> bytes:
        """The whole named object."""
        with _reading(key):
            return self._shelf.read(_named_key(key))

    def open_named(self, key: str) -> BinaryIO:
        """The named object as a seekable file; the caller closes it."""
        with _reading(key):
            return self._shelf.open(_named_key(key))

    def size_named(self, key: str) -> int:
        """The named object's size in bytes."""
        with _reading(key):
            return self._shelf.size(_named_key(key))

    def delete_named(self, key: str) -> None:
        """Remove a named object; removing what is not there is no error."""
        with _writing():
            self._shelf.delete(_named_key(key))

    def list_named(self, prefix: str = "") -> list[str]:
        """The keys that start with `prefix`, sorted. Only the directory part of the prefix narrows what is read."""
        directory = prefix.rpartition("/")[0]
        with _writing():
            keys = self._shelf.list(_named_key(directory) if directory else "named")
        found = (key.removeprefix("named/") for key in keys)
        return sorted(key for key in found if key.startswith(prefix))


def _shelf(url: str) -> Shelf:
    # Listings are never cached: another process may have written the object a moment ago.
    files, root = fsspec.url_to_fs(url, use_listings_cache=False)
    if isinstance(files, LocalFileSystem):
        return DiskShelf(Path(root))
    return RemoteShelf(files, root)


def _cas_key(sha256: str) -> str:
    if not _SHA256.match(sha256):
        raise ArtifactNotFound(f"{sha256[:80]!r} is no sha256 in lower-case hex, so it names no object")
    return f"cas/{sha256[:2]}/{sha256}"


def _named_key(key: str) -> str:
    return f"named/{clean_path(key)}"


@contextmanager
def _writing() -> Iterator[None]:
    """Turn what the storage raises into this module's errors."""
    try:
        yield
    except CohortError:
        raise
    except Exception as error:
        # The drivers behind fsspec are chosen by the URL and raise types of their own that cannot be named here
        # without importing them all.
        raise ArtifactStoreUnavailable(f"artifact store: {type(error).__name__}: {error}") from error


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """The same where a missing file means that there is no such object."""
    with _writing():
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ArtifactNotFound(f"{name!r} is not in the artifact store") from error
