"""Finding what programs did to a directory since a snapshot was laid into it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from services.core import directories
from services.core.checkout_index import Folder, Index, Known
from services.core.contents import CHUNK_BYTES, Change, Contents
from services.core.errors import BadRequest
from services.core.laying import content_hash
from services.core.paths import BadPath, Limits, clean_path
from services.core.trees import EXECUTABLE_MODE, FILE_MODE

_MAX_SKIPPED = 1000
_IGNORED_NAMES = frozenset({"__pycache__", ".git"})


@dataclass(frozen=True)
class Skipped:
    """Something that a program left and that is not taken over, with the reason. The snapshot's version stays."""

    path: str
    reason: str


class _TooLarge(BadRequest):
    """A file grew past the limit while it was read."""


class Scan:
    """One pass over a directory. `changes` and `skipped` are its result; contents of changed files are stored."""

    def __init__(self, store: Contents, index: Index, limits: Limits, max_file_bytes: int) -> None:
        self.changes: list[Change] = []
        self.skipped: list[Skipped] = []
        self._store = store
        self._index = index
        self._limits = limits
        self._max_file_bytes = max_file_bytes
        self._bytes_left = limits.total_bytes
        self._more_skipped = 0

    def run(self, directory: int, known: Folder[Known]) -> None:
        """Compare the open directory with what was laid. Raises OSError, `ArtifactStoreUnavailable`."""
        self._scan(directory, known, "")
        if self._more_skipped:
            self.skipped.append(Skipped("", f"{self._more_skipped} more, not named here"))

    def _scan(self, directory: int, known: Folder[Known], prefix: str) -> None:
        found = {entry.name: entry for entry in os.scandir(directory) if not _is_ignored(entry.name)}
        for name in sorted(found):
            self._look_at(found[name], directory, known, f"{prefix}{name}")
        gone = Folder(
            {name: leaf for name, leaf in known.files.items() if name not in found},
            {name: folder for name, folder in known.folders.items() if name not in found},
        )
        self._delete_all(gone, prefix)

    def _look_at(self, entry: "os.DirEntry[str]", directory: int, known: Folder[Known], path: str) -> None:
        try:
            clean_path(path, self._limits)
        except BadPath as error:
            self._skip(path, str(error))
            return
        if entry.is_dir(follow_symlinks=False):
            if entry.name in known.files:
                self.changes.append(Change(path, None))
            self._enter(entry.name, directory, known.folders.get(entry.name, Folder()), path)
        elif entry.is_file(follow_symlinks=False):
            if entry.name in known.folders:
                self._delete_all(known.folders[entry.name], f"{path}/")
            self._compare(entry.name, directory, known.files.get(entry.name), path)
        else:
            what = "a symbolic link" if entry.is_symlink() else "neither a file nor a directory"
            self._skip(path, f"{what}; only plain files are kept")

    def _enter(self, name: str, directory: int, known: Folder[Known], path: str) -> None:
        try:
            with directories.opened(name, directory) as below:
                self._scan(below, known, f"{path}/")
        except OSError as error:
            self._skip(path, f"cannot be read: {error.strerror or error}")

    def _compare(self, name: str, directory: int, known: Known | None, path: str) -> None:
        try:
            with directories.opened_file(name, directory) as file:
                status = os.fstat(file.fileno())
                mode = EXECUTABLE_MODE if status.st_mode & stat.S_IXUSR else FILE_MODE
                if known and known.mode == mode and self._is_unchanged(file, known, status, path):
                    return
                problem = self._problem(status.st_size)
                if problem:
                    self._skip(path, problem)
                    return
                blob = self._store.put_stream(self._bounded(file))
        except _TooLarge as error:
            self._skip(path, str(error))
        except OSError as error:
            self._skip(path, f"cannot be read: {error.strerror or error}")
        else:
            self._bytes_left -= blob.size
            self.changes.append(Change(path, blob, mode))

    def _is_unchanged(self, file: BinaryIO, known: Known, status: os.stat_result, path: str) -> bool:
        if self._index.vouches(path, status):
            return True
        # Only what has the old size can have the old content; anything else is read once, on its way to the store.
        same = status.st_size == known.stamp.size and content_hash(file) == known.sha256
        file.seek(0)
        return same

    def _problem(self, size: int) -> str | None:
        if size > self._max_file_bytes:
            return f"{size} bytes, more than the {self._max_file_bytes} a workspace file may have; save it as an output"
        if size > self._bytes_left:
            return f"the changes would be more than {self._limits.total_bytes} bytes; save large files as outputs"
        if len(self.changes) >= self._limits.files:
            return f"more than {self._limits.files} files changed; save data as outputs"
        return None

    def _bounded(self, file: BinaryIO) -> Iterator[bytes]:
        """The file's content. The file may still be growing, so the limits are checked again."""
        size = 0
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            problem = self._problem(size)
            if problem:
                raise _TooLarge(problem)
            yield chunk

    def _delete_all(self, known: Folder[Known], prefix: str) -> None:
        for name in sorted(known.files):
            if not _is_ignored(name):
                self.changes.append(Change(f"{prefix}{name}", None))
        for name in sorted(known.folders):
            if not _is_ignored(name):
                self._delete_all(known.folders[name], f"{prefix}{name}/")

    def _skip(self, path: str, reason: str) -> None:
        if len(self.skipped) < _MAX_SKIPPED:
            shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in path)
            self.skipped.append(Skipped(shown, reason))
        else:
            self._more_skipped += 1


def _is_ignored(name: str) -> bool:
    return name in _IGNORED_NAMES or name.endswith(".pyc") or name.startswith(directories.PART_PREFIX)
