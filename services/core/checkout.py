"""A directory that holds a snapshot's files, for programs to work in.

`lay` makes the directory equal to a snapshot and touches only what differs; `changes` finds what programs did to it
since. The directory's content is never trusted (see `directories`). One caller at a time: the run's lease sees to that.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.core.checkout_index import Index, IndexFile, nest
from services.core.contents import Change, Snapshots
from services.core.errors import CohortError
from services.core.laying import Layer
from services.core.scanning import Scan, Skipped
from services.core.trees import EMPTY

__all__ = ["Checkout", "CheckoutFailed", "Laid", "NotLaid", "Skipped"]

MAX_FILE_BYTES = 32 << 20


class NotLaid(CohortError):
    """The directory holds no known snapshot: nothing was laid yet, or laying was interrupted. Call `lay`."""


class CheckoutFailed(CohortError):
    """The file system refused (full disk, permission). Laying again repairs what is half done."""


@dataclass(frozen=True)
class Laid:
    """What `lay` had to do: files written, files and directories removed."""

    written: int
    removed: int


class Checkout:
    """The directory and what is known of it. `state` is a directory beside it unless told, never inside."""

    def __init__(
        self, directory: Path, snapshots: Snapshots, max_file_bytes: int = MAX_FILE_BYTES, state: Path | None = None
    ) -> None:
        self.directory = directory
        self._snapshots = snapshots
        self._max_file_bytes = max_file_bytes
        self._index_file = IndexFile(state or directory.parent / f".{directory.name}.checkout")

    @property
    def snapshot(self) -> str | None:
        """The snapshot that was laid last, None if there is none or laying was interrupted."""
        index = None if self._index_file.is_laying() else self._index_file.load()
        return index.snapshot if index else None

    def lay(self, snapshot: str) -> Laid:
        """Make the directory equal to the snapshot: deleted files return, others go, links are never followed.

        After an interruption, a second call repairs. Raises `CheckoutFailed` and what `Snapshots` raises.
        """
        wanted = {entry.path: entry for entry in self._snapshots.list(snapshot)}
        index = self._index_file.load() or Index(EMPTY, {})
        layer = Layer(self._snapshots.store.open, index)
        with self._opened(create=True) as top:
            self._index_file.begin()
            layer.lay(top, nest(wanted))
            self._index_file.finish(Index(snapshot, layer.files))
        return Laid(layer.written, layer.removed)

    def changes(self) -> tuple[list[Change], list[Skipped]]:
        """What differs from the snapshot that was laid, ready for `Workspace.apply`, and what cannot be taken over.

        Contents of changed files are in the store when this returns. Left out without a word: `__pycache__`, `.git`
        and `*.pyc`. Raises `NotLaid`, `CheckoutFailed`, `ArtifactStoreUnavailable`.
        """
        index = None if self._index_file.is_laying() else self._index_file.load()
        if index is None:
            raise NotLaid(f"{self.directory} holds no known snapshot; lay one first")
        scan = Scan(self._snapshots.store, index, self._snapshots.limits, self._max_file_bytes)
        with self._opened(create=False) as top:
            scan.run(top, nest(index.files))
        return scan.changes, scan.skipped

    @contextmanager
    def _opened(self, create: bool) -> Iterator[int]:
        try:
            if create:
                self.directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        except OSError as error:
            raise CheckoutFailed(f"{self.directory}: {error.strerror or error}; lay it again") from error
