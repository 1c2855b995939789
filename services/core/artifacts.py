"""The artifact store: immutable objects by content hash, and named objects for logs and archives.

The only door to fsspec, so the rest of Cohort neither knows nor cares which storage the URL names. On `file://` a write
is atomic and durable (see `durable`); on object stores it is as atomic as their single-object upload, which all of them
promise. Objects are never deleted here: what is garbage is decided by whoever knows all runs.
"""

import hashlib
import io
import re
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from services.core.contents import CHUNK_BYTES, ArtifactDamaged, ArtifactNotFound, ArtifactStoreUnavailable, Blob
from services.core.durable import spool
from services.core.errors import CohortError
from services.core.paths import clean_path
from services.core.shelf import DiskShelf, Shelf

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


class _RemoteShelf:
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
        try:
            return self.size(key) == size
        except FileNotFoundError:
            return False

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
        start = len(self._files._strip_protocol(self._root).rstrip("/")) + 1
        return [path[start:] for path in self._files.find(self._path(directory))]


def _shelf(url: str) -> Shelf:
    # Listings are never cached: another process may have written the object a moment ago.
    files, root = fsspec.url_to_fs(url, use_listings_cache=False)
    if isinstance(files, LocalFileSystem):
        return DiskShelf(Path(root))
    return _RemoteShelf(files, root)


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
