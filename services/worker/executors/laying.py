"""Laying files out of the artifact store into a directory, whole and checked. Copies, never links: a program may write
to its files, and the store's are everybody's."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.core.artifacts import CHUNK_BYTES, ArtifactDamaged, ArtifactStore
from services.core.paths import clean_path


@dataclass(frozen=True)
class Laid:
    """A file to lay: where, from which object, with which permission bits."""

    path: str
    sha256: str
    mode: int = 0o644


def lay(directory: Path, files: Iterable[Laid], artifacts: ArtifactStore) -> None:
    """Write `files` below `directory`. Raises `BadPath`, `ArtifactNotFound`, `ArtifactDamaged`, and `OSError`."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in files:
        target = directory / clean_path(file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with artifacts.open(file.sha256) as source, target.open("wb") as copy:
            while data := source.read(CHUNK_BYTES):
                digest.update(data)
                copy.write(data)
        if digest.hexdigest() != file.sha256:
            raise ArtifactDamaged(f"object {file.sha256} does not hash to its name; restore it from a backup")
        target.chmod(file.mode)
