"""Contents by their hash: what those who lay files and look for changes need of a store, whichever it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from services.core.differences import Entry
from services.core.errors import CohortError, NotFound
from services.core.paths import Limits
from services.core.trees import FILE_MODE

CHUNK_BYTES = 1 << 20


class ArtifactNotFound(NotFound):
    """No such object. Nothing was changed."""


class ArtifactDamaged(CohortError):
    """An object's bytes no longer hash to its name: the storage lost or changed them."""


class ArtifactStoreUnavailable(CohortError):
    """The storage refuses or cannot be reached (network, permission, full disk). Every call is safe to repeat."""


@dataclass(frozen=True)
class Blob:
    """An object in the store: its sha256 in hex and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Change:
    """One file's new content: bytes, or a blob that is in the store already, or None to delete it.

    Any mode that its owner may execute is kept as 0o755, every other as 0o644.
    """

    path: str
    content: bytes | Blob | None
    mode: int = FILE_MODE


class Contents(Protocol):
    """Where contents are."""

    def open(self, sha256: str) -> BinaryIO:
        """The object as a file; the caller closes it."""
        ...

    def put_stream(self, chunks: Iterable[bytes]) -> Blob:
        """Store the concatenation of `chunks`. An error raised by `chunks` stores nothing."""
        ...


class Snapshots(Protocol):
    """Where snapshots are, with their contents."""

    @property
    def limits(self) -> Limits: ...

    @property
    def store(self) -> Contents: ...

    def list(self, snapshot: str) -> Sequence[Entry]:
        """The snapshot's files."""
        ...
