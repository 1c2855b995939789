"""The run's snapshots as a sandbox's sidecar has them: through the API, one command at a time."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from services.core.commands import Brought
from services.core.contents import CHUNK_BYTES, Blob
from services.core.differences import Entry
from services.core.paths import DEFAULT_LIMITS, Limits
from services.runner.ship import AttemptClient


class RemoteContents:
    """`Contents` behind the API. What is fetched belongs to the command that was last `asked_by`."""

    def __init__(self, client: AttemptClient, scratch: Path) -> None:
        self._client = client
        self._scratch = scratch
        self._receipts: dict[str, Brought] = {}
        self.asked_by = ""

    def open(self, sha256: str) -> BinaryIO:
        """See `Contents`. Raises what `AttemptClient` raises, and OSError."""
        file = self._unnamed()

        def take(pieces: Iterator[bytes]) -> None:
            file.seek(0)
            file.truncate()
            for piece in pieces:
                file.write(piece)

        try:
            self._client.command_blob(self.asked_by, sha256, take)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def put_stream(self, chunks: Iterable[bytes]) -> Blob:
        """See `Contents`. Raises what `AttemptClient` and `chunks` raise, and OSError."""
        digest, size = hashlib.sha256(), 0
        with self._unnamed() as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
            sha256 = digest.hexdigest()
            if sha256 not in self._receipts:

                def read() -> Iterator[bytes]:
                    file.seek(0)
                    yield from iter(lambda: file.read(CHUNK_BYTES), b"")

                receipt = self._client.put_object(sha256, size, read)
                self._receipts[sha256] = Brought(sha256=sha256, size=size, receipt=receipt)
        return Blob(sha256, size)

    def brought(self, blob: Blob) -> Brought:
        """What the API said of an object that was put."""
        return self._receipts[blob.sha256]

    def _unnamed(self) -> BinaryIO:
        """A file that nobody else can open, gone when it is closed."""
        descriptor, name = tempfile.mkstemp(dir=self._scratch)
        os.unlink(name)
        return os.fdopen(descriptor, "w+b")


class RemoteSnapshots:
    """`Snapshots` behind the API. The files of a snapshot never change, so the last list is kept."""

    def __init__(self, contents: RemoteContents, client: AttemptClient, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.store = contents
        self._client = client
        self._last: tuple[str, list[Entry]] = ("", [])

    def list(self, snapshot: str) -> list[Entry]:
        """See `Snapshots`. Raises what `AttemptClient` raises."""
        if self._last[0] != snapshot:
            files = self._client.command_files(self.store.asked_by).files
            self._last = (snapshot, [Entry(file.path, file.sha256, file.size, file.mode) for file in files])
        return self._last[1]
