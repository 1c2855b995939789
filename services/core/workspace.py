"""A run's files as immutable snapshots in the artifact store.

A snapshot is the hash of a root tree (see `trees`); every change makes a new one and leaves the old readable. There is
no state here: two workers may change the same snapshot at once, and which result becomes the run's is decided where
the run's log is written.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import BinaryIO

from services.core import tarball
from services.core.artifacts import ArtifactStore
from services.core.contents import Blob, Change
from services.core.differences import DiffKind, Entry, FileDiff, compare, render
from services.core.errors import BadRequest
from services.core.paths import DEFAULT_LIMITS, BadPath, Limits, clean_path
from services.core.tarball import BadArchive, Member
from services.core.trees import (
    EMPTY,
    EXECUTABLE_MODE,
    FILE_MODE,
    BadSnapshot,
    Draft,
    Node,
    PathConflict,
    PathNotFound,
    Tree,
    below,
    decode,
    find,
    walk,
)

__all__ = [
    "DEFAULT_LIMITS",
    "EMPTY",
    "EXECUTABLE_MODE",
    "FILE_MODE",
    "BadArchive",
    "BadPath",
    "BadSnapshot",
    "Change",
    "DiffKind",
    "Entry",
    "FileDiff",
    "Limits",
    "PathConflict",
    "PathNotFound",
    "Workspace",
    "WorkspaceFull",
    "clean_path",
]

_CACHED_TREES = 512
_STREAMED_BYTES = 1 << 20


class WorkspaceFull(BadRequest):
    """The change would pass a limit on files or bytes. Nothing was changed."""


# `Workspace.list` would stand for the built-in inside the class.
Changes = list[Change]
Diffs = list[FileDiff]
Entries = list[Entry]
Members = list[Member]


class Workspace:
    """Reads and changes snapshots. Thread-safe. Raises what `ArtifactStore` raises besides what is written here."""

    def __init__(self, store: ArtifactStore, limits: Limits = DEFAULT_LIMITS) -> None:
        self.store = store
        self.limits = limits
        # Trees are immutable, so what was loaded once stays true.
        self._tree = lru_cache(maxsize=_CACHED_TREES)(self._load)

    def read(self, snapshot: str, path: str) -> bytes:
        """The whole file. Raises `PathNotFound`, `BadPath`. For what may be large use `open`."""
        return self.store.get(self.entry(snapshot, path).sha256)

    def open(self, snapshot: str, path: str) -> BinaryIO:
        """The file as a seekable stream; the caller closes it. Raises `PathNotFound`, `BadPath`."""
        return self.store.open(self.entry(snapshot, path).sha256)

    def entry(self, snapshot: str, path: str) -> Entry:
        """What the snapshot says about one file. Raises `PathNotFound`, `BadPath`."""
        path = clean_path(path, self.limits)
        node = find(self._tree, snapshot, path)
        if node is None or node.is_directory:
            what = "is a directory; list it instead" if node else "is not in this snapshot; list the files to see"
            raise PathNotFound(f"{path!r} {what}")
        return _entry(path, node)

    def list(self, snapshot: str, prefix: str = "") -> Entries:
        """The files below the directory `prefix` (or the file itself), in byte order per level; [] if none."""
        if not prefix:
            return [_entry(*found) for found in walk(self._tree, self._tree(snapshot))]
        path = clean_path(prefix, self.limits)
        node = find(self._tree, snapshot, path)
        if node is None:
            return []
        if node.is_directory:
            return [_entry(*found) for found in walk(self._tree, below(self._tree, node, path), f"{path}/")]
        return [_entry(path, node)]

    def write(self, snapshot: str, path: str, data: bytes, mode: int = FILE_MODE) -> str:
        """A new snapshot with this file. Raises `BadPath`, `PathConflict`, `WorkspaceFull`."""
        return self.apply(snapshot, [Change(path, data, mode)])

    def delete(self, snapshot: str, path: str) -> str:
        """A new snapshot without this file or directory. Raises `BadPath`, `PathNotFound`."""
        return self.apply(snapshot, [Change(path, None)])

    def apply(self, snapshot: str, changes: Sequence[Change]) -> str:
        """A new snapshot with all changes or none. Deletions come first, so a file may become a directory.

        Of two changes of one path the later counts. Raises `BadPath`, `PathNotFound`, `PathConflict`, `WorkspaceFull`.
        """
        last = {clean_path(change.path, self.limits): change for change in changes}
        draft = Draft(self._tree, snapshot)
        for path, change in last.items():
            if change.content is None:
                draft.remove(path)
        for path, change in last.items():
            if change.content is not None:
                draft.put(path, _file_node(change.content, change.mode))
        trees: list[bytes] = []
        root = draft.finish(trees)
        self._check_limits(root)
        # Blobs before trees: what a tree names is always there, whenever this process dies.
        self.store.put_many(change.content for change in last.values() if isinstance(change.content, bytes))
        self.store.put_many(trees)
        return root.sha256

    def diff(self, old: str, new: str) -> Diffs:
        """The files that differ, in byte order per level. Costs the trees that differ, no blobs."""
        return list(compare(self._tree, self._tree(old), self._tree(new)))

    def unified_diff(self, old: str, new: str, limit: int = 1_000_000) -> str:
        """The same as text, about `limit` characters at most; binary and huge files are named only."""
        return render(self.diff(old, new), self.store.get, limit)

    def export_tar(self, snapshot: str) -> Iterator[bytes]:
        """The snapshot as a gzipped tar in chunks: the same bytes for the same snapshot, no owner, no time."""
        return tarball.pack(self.list(snapshot), self.store.open)

    def import_tar(self, archive: BinaryIO, limits: Limits | None = None) -> str:
        """The snapshot of an uploaded tar or tar.gz. Raises `BadArchive`, `BadPath`, and then nothing was stored.

        The archive is read twice: checked to its last byte, then stored.
        """
        limits = limits or self.limits
        with tarball.rewindable(archive, limits) as file:
            for _ in tarball.unpack(file, limits):
                continue
            return self.apply(EMPTY, self._store_members(tarball.unpack(file, limits)))

    def import_files(self, files: Mapping[str, bytes]) -> str:
        """The snapshot that holds exactly these files. Raises `BadPath`, `PathConflict`, `WorkspaceFull`."""
        return self.apply(EMPTY, [Change(path, data) for path, data in files.items()])

    def _load(self, sha256: str) -> Tree:
        return () if sha256 == EMPTY else decode(self.store.get(sha256))

    def _store_members(self, members: Iterable[Member]) -> Changes:
        """Put the contents of an archive into the store: small files several at a time, large ones as streams."""
        large: Changes = []
        small: Members = []

        def contents() -> Iterator[bytes]:
            for member in members:
                if member.size > _STREAMED_BYTES:
                    large.append(Change(member.path, self.store.put_stream(member.chunks), member.mode))
                else:
                    small.append(member)
                    yield b"".join(member.chunks)

        hashes = self.store.put_many(contents())
        stored = (Change(it.path, Blob(sha256, it.size), it.mode) for it, sha256 in zip(small, hashes, strict=True))
        return [*large, *stored]

    def _check_limits(self, root: Node) -> None:
        if root.files > self.limits.files:
            raise WorkspaceFull(f"the workspace would hold {root.files} files; at most {self.limits.files} are allowed")
        if root.size > self.limits.total_bytes:
            what = f"the workspace would hold {root.size} bytes; at most {self.limits.total_bytes} are allowed"
            raise WorkspaceFull(f"{what}: keep data and checkpoints in the artifact store")


def _file_node(content: bytes | Blob, mode: int) -> Node:
    blob = content if isinstance(content, Blob) else Blob(hashlib.sha256(content).hexdigest(), len(content))
    return Node("", blob.sha256, blob.size, EXECUTABLE_MODE if mode & 0o100 else FILE_MODE)


def _entry(path: str, node: Node) -> Entry:
    return Entry(path, node.sha256, node.size, node.mode)
