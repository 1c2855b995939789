"""Files on their way to the API and back: inputs packed for a goal, archives laid out on disk."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from services.cli.look import bytes_text
from services.cli.problems import Usage
from services.core.differences import Entry
from services.core.paths import DEFAULT_LIMITS, clean_path
from services.core.tarball import pack, unpack
from services.core.trees import EXECUTABLE_MODE, FILE_MODE

CHUNK_BYTES = 1 << 20
_LEFT_OUT = frozenset({".git", "__pycache__", ".venv", ".ipynb_checkpoints"})


def input_files(inputs: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """The files behind (name, path) pairs, by their path in the workspace.

    A directory brings everything in it but caches, version control and links. A name that leads out of the current
    directory (absolute, or with `..`) is shortened to its last part. Raises `Usage` or `BadPath`.
    """
    found: dict[str, Path] = {}
    for name, path in inputs:
        if not path.exists():
            raise Usage(f"--input {path}: there is no such file or directory")
        top = _name_in_workspace(name, path)
        for inner, file in _files_below(path):
            target = clean_path(f"{top}/{inner}")
            if target in found and not found[target].samefile(file):
                raise Usage(f"two inputs would both be {target} in the workspace: {found[target]} and {file}")
            found[target] = file
    _check_size(found)
    return found


@contextmanager
def packed(files: dict[str, Path]) -> Iterator[BinaryIO]:
    """A tar.gz of `files` (path in the workspace → file) as a temporary file. Equal files give equal bytes."""
    entries = [_entry(target, files[target]) for target in sorted(files)]
    where = {entry.sha256: files[entry.path] for entry in entries}
    with tempfile.TemporaryFile() as archive:
        archive.writelines(pack(entries, lambda sha256: where[sha256].open("rb")))
        archive.seek(0)
        yield archive


def lay_out(archive: BinaryIO, directory: Path) -> int:
    """Write the files of a tar.gz below `directory`, which must be new or empty. Returns how many there were."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Usage(f"{directory} is there already and not empty; name another place with -o")
    directory.mkdir(parents=True, exist_ok=True)
    count = 0
    for member in unpack(archive, DEFAULT_LIMITS):
        target = directory / member.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.writelines(member.chunks)
        if member.mode == EXECUTABLE_MODE:
            target.chmod(target.stat().st_mode | 0o111)
        count += 1
    return count


def _name_in_workspace(name: str, path: Path) -> str:
    relative = os.path.normpath(name)
    if os.path.isabs(relative) or relative.startswith(".."):
        return path.resolve().name
    return relative


def _files_below(path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield "", path
        return
    for directory, names, files in os.walk(path):
        names[:] = sorted(name for name in names if name not in _LEFT_OUT and not (Path(directory) / name).is_symlink())
        for name in sorted(files):
            file = Path(directory, name)
            if file.is_file() and not file.is_symlink():
                yield str(file.relative_to(path)), file


def _check_size(files: dict[str, Path]) -> None:
    if len(files) > DEFAULT_LIMITS.files:
        raise Usage(f"the inputs are {len(files):,} files; {DEFAULT_LIMITS.files:,} are allowed")
    total = sum(file.stat().st_size for file in files.values())
    if total > DEFAULT_LIMITS.total_bytes:
        allowed = bytes_text(DEFAULT_LIMITS.total_bytes)
        raise Usage(
            f"the inputs are {bytes_text(total)} together; {allowed} are allowed: let the agent fetch large data"
        )


def _entry(target: str, path: Path) -> Entry:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(chunk)
            size += len(chunk)
    mode = EXECUTABLE_MODE if os.access(path, os.X_OK) else FILE_MODE
    return Entry(target, digest.hexdigest(), size, mode)
