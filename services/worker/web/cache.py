"""Answers kept on this machine's disk, so that what was fetched once is not fetched again while it is fresh.

Any process may share the directory, and a process that dies leaves whole entries or none. What was fetched with a
credential is found with that credential alone.
"""

import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

_CUT_TO = 0.8


@dataclass(frozen=True)
class Kept:
    """An answer as it was kept. `checked` is when its server last said that it holds, in seconds since the epoch."""

    url: str
    content_type: str
    etag: str
    last_modified: str
    checked: float
    body: bytes = b""


def key_of(url: str, accept: str, credential: str) -> str:
    """The name under which an answer is kept."""
    return sha256("\0".join((url, accept, credential)).encode()).hexdigest()


class DiskCache:
    """Answers in a directory, `max_bytes` of them about: the ones not used for longest go first."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._written: int | None = None
        self._lock = threading.Lock()

    def get(self, key: str) -> Kept | None:
        """What was kept under that name; None where nothing is, or nothing that can be read."""
        path = self._path(key)
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            os.utime(path)
            return Kept(**{**json.loads(head), "body": body})
        except (OSError, ValueError, TypeError):
            return None

    def put(self, key: str, kept: Kept) -> None:
        """Keep it in place of what was kept there. A disk that is full costs the entry, nothing else."""
        path = self._path(key)
        head = {name: value for name, value in asdict(kept).items() if name != "body"}
        data = json.dumps(head).encode() + b"\n" + kept.body
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(data)
            os.replace(file.name, path)
            self._make_room(len(data))

    def _make_room(self, added: int) -> None:
        with self._lock:
            # What others write is counted when it is looked at next.
            self._written = self._size() if self._written is None else self._written + added
            if self._written <= self._max_bytes:
                return
            left = self._size()
            for path, size in self._oldest_first():
                if left <= self._max_bytes * _CUT_TO:
                    break
                path.unlink(missing_ok=True)
                left -= size
            self._written = left

    def _size(self) -> int:
        return sum(size for _, size in self._oldest_first())

    def _oldest_first(self) -> Iterator[tuple[Path, int]]:
        found = []
        for path in self._directory.glob("*/*"):
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns, path, status.st_size))
        return ((path, size) for _, path, size in sorted(found))

    def _path(self, key: str) -> Path:
        return self._directory / key[:2] / key
