"""Files that are either whole or absent, whatever kills the process or the machine.

The recipe is the usual one: write under a scratch name on the same file system, fsync, rename, fsync the directory.
Not for appending and not for remote stores.
"""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_durably(target: Path, chunks: Iterable[bytes], scratch: Path) -> None:
    """Replace `target` by the concatenated `chunks` atomically. `scratch` is a directory on the same file system.

    Readers see the old content or the new one. An interrupted call leaves at most a file in `scratch`.
    """
    path = spool(chunks, scratch)
    try:
        settle(path, target)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def spool(chunks: Iterable[bytes], scratch: Path) -> Path:
    """Write `chunks` to a new file in `scratch`, on disk when this returns. Nothing is left if `chunks` raises."""
    descriptor, name = tempfile.mkstemp(prefix="part-", dir=scratch)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        # KeyboardInterrupt and SystemExit too: the half-written file is ours to remove, the error is the caller's.
        path.unlink(missing_ok=True)
        raise
    return path


def settle(spooled: Path, target: Path) -> None:
    """Move a file made by `spool` to its final name, replacing what is there."""
    make_directories(target.parent)
    os.chmod(spooled, 0o644)
    os.replace(spooled, target)
    sync_directory(target.parent)


def make_directories(path: Path) -> None:
    """Like `mkdir -p`, and the new names survive a power cut."""
    if path.is_dir():
        return
    make_directories(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable; renames alone are not."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
