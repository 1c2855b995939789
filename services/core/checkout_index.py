"""What is known of a directory that a snapshot was laid into: which content each file had when it was last seen.

Written atomically and last, beside the directory and never in it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from services.core.durable import make_directories, write_durably

_FORMAT = 1
# Time stamps are coarse (a jiffy on local disks, up to 2 s elsewhere): a file stamped this shortly before the index
# was written may have been changed again without getting another stamp. The thought is git's ("racy git").
_RACY_NS = 2_000_000_000

Leaf = TypeVar("Leaf")


class Stamp(NamedTuple):
    """What changes whenever a file's content does, but for the clock's grain. ctime catches tools that reset mtime."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


def stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


@dataclass(frozen=True)
class Known:
    """A file as it was last seen: its content's hash, and the stamp that vouches for it."""

    sha256: str
    mode: int
    stamp: Stamp


@dataclass(frozen=True)
class Index:
    """The snapshot that was laid and its files. An entry stays true whatever happens to other files."""

    snapshot: str
    files: Mapping[str, Known]
    written_ns: int = 0

    def vouches(self, path: str, status: os.stat_result) -> str | None:
        """The file's hash if its stamp proves that it is unchanged, else None: read the file."""
        known = self.files.get(path)
        racy_from = self.written_ns - _RACY_NS
        if known is None or known.stamp != stamp(status) or max(status.st_mtime_ns, status.st_ctime_ns) >= racy_from:
            return None
        return known.sha256


@dataclass
class Folder(Generic[Leaf]):
    """A flat mapping of paths as nested directories."""

    files: dict[str, Leaf] = field(default_factory=dict)
    folders: "dict[str, Folder[Leaf]]" = field(default_factory=dict)


def nest(files: Mapping[str, Leaf]) -> Folder[Leaf]:
    """The directories that these paths form."""
    top: Folder[Leaf] = Folder()
    for path, leaf in files.items():
        *parents, name = path.split("/")
        folder = top
        for parent in parents:
            folder = folder.folders.setdefault(parent, Folder())
        folder.files[name] = leaf
    return top


class IndexFile:
    """The index on disk, and the mark that says that laying has begun and not ended."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._path = state / "index.json"
        self._mark = state / "laying"

    def load(self) -> Index | None:
        """The last index written, None if there is none that can be read: then every file is looked at."""
        try:
            written_ns = self._path.stat().st_mtime_ns
            raw = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if raw["format"] != _FORMAT:
            return None
        files = {path: Known(sha256, mode, Stamp(*seen)) for path, (sha256, mode, seen) in raw["files"].items()}
        return Index(raw["snapshot"], files, written_ns)

    def is_laying(self) -> bool:
        """Whether a `begin` had no `finish`: the directory is a mixture."""
        return self._mark.exists()

    def begin(self) -> None:
        """From here to `finish` the directory equals no snapshot."""
        make_directories(self._state)
        for leftover in self._state.glob("part-*"):
            leftover.unlink()
        self._mark.touch()

    def finish(self, index: Index) -> None:
        """Write the index, then take back the mark."""
        files = {path: (known.sha256, known.mode, known.stamp) for path, known in index.files.items()}
        data = json.dumps({"format": _FORMAT, "snapshot": index.snapshot, "files": files}).encode()
        write_durably(self._path, [data], self._state)
        self._mark.unlink()
