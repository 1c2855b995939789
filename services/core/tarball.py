"""Snapshots as tar archives: packing is deterministic, unpacking trusts nothing.

`tarfile` parses the headers; what it may read, how much and in which direction is decided here, because an archive is
whatever somebody sent. Nothing is ever extracted to a directory.
"""

import gzip
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from services.core.differences import Entry
from services.core.errors import BadRequest
from services.core.paths import Limits, clean_path
from services.core.trees import EXECUTABLE_MODE, FILE_MODE

CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = tarfile.BLOCKSIZE
_MAX_HEADER_BYTES = 1 << 20
_HEADER_BYTES_PER_FILE = 4096
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib's way to ask for a gzip container, with no name and no time in it
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}
# All that tarfile and gzip are known to raise on damaged input; recursion is how tarfile reads chained headers.
_DAMAGE = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, RecursionError)


class BadArchive(BadRequest):
    """The archive is damaged, too large or holds something a workspace may not. Nothing was stored."""


@dataclass(frozen=True)
class Member:
    """A file in an archive. `chunks` must be read before the next member is asked for."""

    path: str
    size: int
    mode: int
    chunks: Iterator[bytes]


def pack(entries: Iterable[Entry], open_blob: Callable[[str], BinaryIO]) -> Iterator[bytes]:
    """A gzipped tar of `entries` in chunks. No owner, no time: equal input gives equal bytes (for one zlib)."""
    compressor = zlib.compressobj(level=6, wbits=_GZIP_WINDOW)
    for piece in _tar_pieces(entries, open_blob):
        data = compressor.compress(piece)
        if data:
            yield data
    yield compressor.flush()


def _tar_pieces(entries: Iterable[Entry], open_blob: Callable[[str], BinaryIO]) -> Iterator[bytes]:
    for entry in entries:
        header = tarfile.TarInfo(entry.path)
        header.size, header.mode = entry.size, entry.mode
        yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
        with open_blob(entry.sha256) as file:
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")
        yield b"\0" * (-entry.size % _BLOCK_BYTES)
    yield b"\0" * (2 * _BLOCK_BYTES)


@contextmanager
def rewindable(archive: BinaryIO, limits: Limits) -> Iterator[BinaryIO]:
    """The archive as something that can be read twice; what cannot seek is copied to a temporary file first."""
    if archive.seekable():
        yield archive
        return
    with tempfile.TemporaryFile() as copy:
        left = _allowance(limits) + 1
        while left > 0 and (chunk := archive.read(min(CHUNK_BYTES, left))):
            copy.write(chunk)
            left -= len(chunk)
        if left <= 0:
            raise BadArchive(f"the archive is larger than {_allowance(limits)} bytes; leave data sets out of it")
        copy.seek(0)
        yield copy


def unpack(archive: BinaryIO, limits: Limits) -> Iterator[Member]:
    """The regular files of a tar or tar.gz, in its order, read from its current position to its end and rewound there.

    Raises `BadArchive` or `BadPath` as soon as something is wrong, which may be at the very end: look at every member
    (chunks not read are skipped) before acting on any.
    """
    start = archive.tell()
    try:
        yield from _unpack(archive, limits)
    except _DAMAGE as error:
        raise BadArchive(
            f"not a whole tar or tar.gz archive ({error or type(error).__name__}); pack it again"
        ) from error
    finally:
        archive.seek(start)


def _unpack(archive: BinaryIO, limits: Limits) -> Iterator[Member]:
    magic = archive.read(len(_GZIP_MAGIC))
    archive.seek(-len(magic), 1)
    plain = cast(BinaryIO, gzip.GzipFile(fileobj=archive, mode="rb")) if magic == _GZIP_MAGIC else archive
    stream = _Forward(plain, limits)
    # An undecodable name becomes surrogates, which `clean_path` refuses with its own message.
    with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        register = _Register(limits)
        for info in tar:
            path = register.admit(info)
            if path is not None:
                mode = EXECUTABLE_MODE if info.mode & 0o100 else FILE_MODE
                yield Member(path, info.size, mode, stream.contents(info.offset_data, info.size))
    stream.finish()


class _Register:
    """What was seen so far of one archive, and what may not come after it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._files: set[str] = set()
        self._directories: set[str] = set()
        self._members = 0
        self._bytes = 0

    def admit(self, info: tarfile.TarInfo) -> str | None:
        """The clean path of a file, None for a directory. Raises `BadArchive`, `BadPath`."""
        self._members += 1
        if self._members > 2 * self._limits.files:
            raise BadArchive(f"more than {self._limits.files} files and as many directories; leave data sets out of it")
        if info.isdir():
            self._admit_directory(info.name)
            return None
        if not info.isreg() or info.issparse():
            kind = "a sparse file" if info.issparse() else _KINDS.get(info.type, "neither a file nor a directory")
            raise BadArchive(f"{info.name[:200]!a} is {kind}; a workspace holds plain files only, pack its content")
        return self._admit_file(clean_path(info.name, self._limits), info.size)

    def _admit_directory(self, name: str) -> None:
        if set(name.split("/")) <= {"", "."}:
            return  # The top directory itself: `tar -C dir .` writes it.
        path = clean_path(name, self._limits)
        if path in self._files:
            raise BadArchive(f"{path!a} is there both as a file and as a directory; pack one of them")
        self._directories.add(path)
        self._admit_parents(path)

    def _admit_file(self, path: str, size: int) -> str:
        if path in self._files:
            raise BadArchive(f"{path!a} is there twice; pack each file once")
        if path in self._directories:
            raise BadArchive(f"{path!a} is there both as a file and as a directory; pack one of them")
        self._files.add(path)
        self._admit_parents(path)
        self._bytes += size
        if size < 0 or self._bytes > self._limits.total_bytes:
            raise BadArchive(
                f"more than {self._limits.total_bytes} bytes unpacked; keep data sets in the artifact store"
            )
        if len(self._files) > self._limits.files:
            raise BadArchive(f"more than {self._limits.files} files; leave data sets and environments out of it")
        return path

    def _admit_parents(self, path: str) -> None:
        while "/" in path:
            path = path.rpartition("/")[0]
            if path in self._files:
                raise BadArchive(f"{path!a} is there both as a file and as a directory; pack one of them")
            if path in self._directories:
                return
            self._directories.add(path)


class _Forward:
    """Unpacked bytes that are read once, forward, and within limits: what `tarfile` gets to see of an archive.

    Headers and contents have an allowance each, so neither a file nor a header can be a decompression bomb.
    """

    def __init__(self, plain: BinaryIO, limits: Limits) -> None:
        self._plain = plain
        self._position = 0
        self._header_bytes_left = limits.files * _HEADER_BYTES_PER_FILE + _MAX_HEADER_BYTES
        self._allowance = _allowance(limits)
        self._last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        """What tarfile reads: headers, as `contents` is served past it."""
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise BadArchive("the archive has a header that is no name of a file; pack it again with plain tar")
        self._last = self._take(size)
        self._header_bytes_left -= len(self._last)
        if self._header_bytes_left < 0:
            raise BadArchive("the archive's headers are larger than its files may need; pack it again with plain tar")
        return self._last

    def seek(self, offset: int) -> int:
        if offset < self._position:
            raise BadArchive("the archive points back into itself; pack it again")
        while self._position < offset:
            self._take_some(min(CHUNK_BYTES, offset - self._position))
        return self._position

    def contents(self, offset: int, size: int) -> Iterator[bytes]:
        """The bytes of one file."""
        self.seek(offset)
        while size > 0:
            chunk = self._take_some(min(CHUNK_BYTES, size))
            size -= len(chunk)
            yield chunk

    def finish(self) -> None:
        """Check that the archive ended where it should: tarfile takes garbage for an end, and gzip has a checksum."""
        if len(self._last) != _BLOCK_BYTES or any(self._last):
            raise BadArchive("the archive is cut short or damaged after its first files; pack or upload it again")
        while self._take(CHUNK_BYTES):
            continue

    def _take_some(self, size: int) -> bytes:
        data = self._take(size)
        if not data:
            raise BadArchive("the archive is cut short; upload it again")
        return data

    def _take(self, size: int) -> bytes:
        data = self._plain.read(size)
        self._position += len(data)
        if self._position > self._allowance:
            raise BadArchive(f"more than {self._allowance} bytes unpacked; leave data sets out of it")
        return data


def _allowance(limits: Limits) -> int:
    """Bytes of a plain tar that keeps the limits, with room for padding and headers."""
    return limits.total_bytes + limits.files * (_HEADER_BYTES_PER_FILE + _BLOCK_BYTES) + 2 * _MAX_HEADER_BYTES
