"""Making a directory equal to a snapshot, touching only what differs."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

from services.core import directories
from services.core.checkout_index import Folder, Index, Known, stamp
from services.core.contents import CHUNK_BYTES, ArtifactDamaged
from services.core.differences import Entry


class Layer:
    """One pass over a directory. `files`, `written` and `removed` say afterwards what is there and what was done."""

    def __init__(self, open_blob: Callable[[str], BinaryIO], index: Index) -> None:
        self.files: dict[str, Known] = {}
        self.written = 0
        self.removed = 0
        self._open_blob = open_blob
        self._index = index

    def lay(self, directory: int, wanted: Folder[Entry]) -> None:
        """Make the open directory hold exactly `wanted`. Raises OSError, `ArtifactNotFound`, `ArtifactDamaged`."""
        kept = self._remove_others(directory, wanted)
        for name, entry in wanted.files.items():
            status = os.stat(name, dir_fd=directory, follow_symlinks=False) if name in kept else None
            if status is None or not self._is_current(name, directory, entry, status):
                directories.write(name, directory, self._content(entry), entry.mode)
                self.written += 1
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            self.files[entry.path] = Known(entry.sha256, entry.mode, stamp(status))
        for name, folder in wanted.folders.items():
            if name not in kept:
                os.mkdir(name, 0o755, dir_fd=directory)
            with directories.opened(name, directory) as below:
                self.lay(below, folder)

    def _remove_others(self, directory: int, wanted: Folder[Entry]) -> set[str]:
        kept = set()
        for entry in list(os.scandir(directory)):
            is_file = entry.is_file(follow_symlinks=False) and entry.name in wanted.files
            is_folder = entry.is_dir(follow_symlinks=False) and entry.name in wanted.folders
            if is_file or is_folder:
                kept.add(entry.name)
            else:
                directories.remove(entry.name, directory)
                self.removed += 1
        return kept

    def _is_current(self, name: str, directory: int, entry: Entry, status: os.stat_result) -> bool:
        if status.st_size != entry.size or stat.S_IMODE(status.st_mode) != entry.mode:
            return False
        known = self._index.vouches(entry.path, status)
        if known is None:
            with directories.opened_file(name, directory) as file:
                known = content_hash(file)
        return known == entry.sha256

    def _content(self, entry: Entry) -> Iterator[bytes]:
        digest = hashlib.sha256()
        with self._open_blob(entry.sha256) as blob:
            for chunk in iter(lambda: blob.read(CHUNK_BYTES), b""):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != entry.sha256:
            raise ArtifactDamaged(f"object {entry.sha256} does not hash to its name; restore it from a backup")


def content_hash(file: BinaryIO) -> str:
    """The sha256 of what is left to read, in hex."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
