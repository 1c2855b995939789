"""Directories that a hostile program may have rearranged: every step is relative to an open one, no link followed.

Knows nothing of snapshots. Linux only: permissions are repaired through /proc/self/fd.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import BinaryIO, cast

PART_PREFIX = ".cohort-part-"


@contextmanager
def opened(name: str, parent: int) -> Iterator[int]:
    """The directory `name` of the open directory `parent`, as a descriptor. A link in its place is an OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    if not _is_usable(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        _make_usable(name, parent)
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_usable(mode: int) -> bool:
    return mode & stat.S_IRWXU == stat.S_IRWXU


def _make_usable(name: str, parent: int) -> None:
    """Give the owner all rights on a directory. Opened as a path first, so that nobody can slip a link in between."""
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", stat.S_IRWXU)
    finally:
        os.close(descriptor)


def remove(name: str, parent: int) -> None:
    """Remove whatever stands under `name`, directories with all they hold, however deep."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    # Nested directories are moved up beside the top one instead of descended into: a program can nest deeper than a
    # process has stack or descriptors.
    pending = [name]
    while pending:
        current = pending.pop()
        with opened(current, parent) as directory:
            pending.extend(_empty(directory, parent))
        os.rmdir(current, dir_fd=parent)


def _empty(directory: int, parent: int) -> list[str]:
    moved = []
    for entry in list(os.scandir(directory)):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=directory)
            continue
        if not _is_usable(entry.stat(follow_symlinks=False).st_mode):
            _make_usable(entry.name, directory)
        moved.append(PART_PREFIX + token_hex(8))
        os.rename(entry.name, moved[-1], src_dir_fd=directory, dst_dir_fd=parent)
    return moved


def write(name: str, parent: int, chunks: Iterable[bytes], mode: int) -> None:
    """Create or replace a file atomically. Never writes through a link, neither a symbolic nor a hard one."""
    part = PART_PREFIX + token_hex(8)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            os.fchmod(file.fileno(), mode)
        os.rename(part, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        # Also on KeyboardInterrupt; after a SIGKILL the part is one more file that does not belong there.
        os.unlink(part, dir_fd=parent)
        raise


@contextmanager
def opened_file(name: str, parent: int) -> Iterator[BinaryIO]:
    """A regular file for reading. Anything else, even if put there this moment, is an OSError."""
    # O_NONBLOCK: opening a named pipe would otherwise wait for a writer.
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{name!a} is no regular file any more")
        yield cast(BinaryIO, file)
