import gzip
import io
import random
import struct
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from services.core.artifacts import ArtifactStore
from services.core.workspace import EMPTY, BadArchive, BadPath, Change, Limits, Workspace

Packed = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(ArtifactStore(f"file://{tmp_path}"), Limits(files=20, total_bytes=1 << 20))


def stored(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.glob("cas/*/*")} | {path.name for path in tmp_path.glob("tmp/*")}


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "") -> Packed:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode, info.linkname = len(data), kind, mode, link
    return info, data


def tar(*members: Packed, form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, errors="surrogateescape") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_archive_becomes_a_snapshot(workspace: Workspace, squeeze: Callable[[bytes], bytes], form: int) -> None:
    long = "/".join(["d" * 60] * 4)
    archive = tar(
        member("./", kind=tarfile.DIRTYPE),
        member("./src", kind=tarfile.DIRTYPE),
        member("./src/train.py", b"print()"),
        member("run.sh", b"echo", mode=0o700),
        member("größe.txt" if form != tarfile.USTAR_FORMAT else "g.txt", b"ok"),
        member(f"{long}/f" if form != tarfile.USTAR_FORMAT else "d/f", b"x" * 100_000),
        form=form,
    )
    snapshot = workspace.import_tar(io.BytesIO(squeeze(archive)))
    entries = {entry.path: entry.mode for entry in workspace.list(snapshot)}
    assert len(entries) == 4
    assert (entries["src/train.py"], entries["run.sh"]) == (0o644, 0o755)
    assert workspace.read(snapshot, "src/train.py") == b"print()"


def test_an_archive_that_cannot_seek_is_read_too(workspace: Workspace) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    archive = tar(member("a", b"1"))
    assert workspace.import_tar(Pipe(archive)) == workspace.import_files({"a": b"1"})
    with pytest.raises(BadArchive, match="larger than"):
        workspace.import_tar(Pipe(bytes(8 << 20)))


def test_large_files_are_streamed(tmp_path: Path) -> None:
    workspace = Workspace(ArtifactStore(f"file://{tmp_path}"))
    data = random.Random(1).randbytes(3 << 20)
    snapshot = workspace.import_tar(io.BytesIO(tar(member("a", b"1"), member("weights", data), member("z", b"2"))))
    assert workspace.read(snapshot, "weights") == data
    assert [entry.size for entry in workspace.list(snapshot)] == [1, len(data), 1]


def test_an_export_is_deterministic_and_comes_back_as_the_same_snapshot(workspace: Workspace) -> None:
    changes = [Change("run.sh", b"echo", 0o755), Change("d" * 200 + "/ü", b"x" * 600), Change("empty", b"")]
    snapshot = workspace.apply(EMPTY, changes)
    packed = b"".join(workspace.export_tar(snapshot))
    assert packed == b"".join(workspace.export_tar(snapshot))
    assert workspace.import_tar(io.BytesIO(packed)) == snapshot
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert {(info.mtime, info.uid, info.uname) for info in archive} == {(0, 0, "")}


def with_size(data: bytes, size: bytes) -> bytes:
    """The first header says another size; its checksum is right."""
    header = bytearray(data[:512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def pax(name: str, value: str) -> bytes:
    info, data = member("a", b"1")
    info.pax_headers = {name: value}
    return tar((info, data))


HOSTILE: Sequence[tuple[str, bytes, str]] = [
    ("a parent directory", tar(member("../evil", b"x")), "'..'"),
    ("a parent directory inside", tar(member("a/../../evil", b"x")), "'..'"),
    ("a parent as directory", tar(member("..", kind=tarfile.DIRTYPE)), "'..'"),
    ("an absolute path", tar(member("/etc/cron.d/evil", b"x")), "absolute"),
    ("an absolute directory", tar(member("/etc", kind=tarfile.DIRTYPE)), "absolute"),
    ("a symbolic link", tar(member("a", kind=tarfile.SYMTYPE, link="/etc/passwd")), "symbolic link"),
    ("a hard link", tar(member("a", b""), member("b", kind=tarfile.LNKTYPE, link="a")), "hard link"),
    ("a character device", tar(member("a", kind=tarfile.CHRTYPE)), "device"),
    ("a block device", tar(member("a", kind=tarfile.BLKTYPE)), "device"),
    ("a named pipe", tar(member("a", kind=tarfile.FIFOTYPE)), "named pipe"),
    ("an unknown kind", tar(member("a", kind=b"V")), "neither"),
    ("one name twice", tar(member("a", b"1"), member("./a", b"2")), "twice"),
    ("a file as directory", tar(member("a", b"1"), member("a/b", b"2")), "both"),
    ("a directory as file", tar(member("a/b", b"1"), member("a", b"2")), "both"),
    ("a file and a directory", tar(member("a", b"1"), member("a", kind=tarfile.DIRTYPE)), "both"),
    ("too many files", tar(*(member(f"f{i}") for i in range(21))), "more than 20 files"),
    ("too many directories", tar(*(member(f"d{i}", kind=tarfile.DIRTYPE) for i in range(41))), "more than 20 files"),
    ("too much data", tar(member("a", bytes(600_000)), member("b", bytes(600_000))), "1048576 bytes"),
    ("a bomb", gzip.compress(tar(member("a", bytes(50 << 20)))), "1048576 bytes"),
    ("a bomb after the end", gzip.compress(tar(member("a", b"1")) + bytes(50 << 20)), "bytes unpacked"),
    ("a bomb in a header", gzip.compress(tar(member("a" * (20 << 20)))), "header"),
    ("many long headers", gzip.compress(tar(*(member(f"{i}/" + "a" * 900_000) for i in range(3)))), "longer|headers"),
    ("a size no disk has", with_size(tar(member("a", b"1")), b"77777777777\0"), "1048576 bytes"),
    ("a negative size", with_size(tar(member("a", b"1")), b"\xff" * 8 + struct.pack(">i", -1024)), "."),
    ("a negative pax size", pax("size", "-1024"), "."),
    ("a pax size in words", pax("size", "many"), "."),
    ("a sparse file", pax("GNU.sparse.size", str(1 << 60)), "sparse|bytes"),
    ("a name that is not UTF-8", tar(member("\udcff\udcfe", b"1"), form=tarfile.GNU_FORMAT), "not UTF-8"),
    ("a control character", tar(member("a\x1b[2Jb", b"1")), "control"),
    ("a path too deep", tar(member("a/" * 40 + "b", b"1")), "levels deep"),
    ("a path too long", tar(member("/".join(["a" * 200] * 6), b"1")), "longer than 1024"),
    ("a name too long", tar(member("a" * 256, b"1")), "longer than 255"),
    ("a truncated gzip", gzip.compress(tar(member("a", random.Random(1).randbytes(9000))))[:5000], "whole tar"),
    ("a gzip with a wrong checksum", gzip.compress(tar(member("a", b"1")))[:-8] + bytes(8), "whole tar"),
    ("a truncated file", tar(member("a", bytes(9000)))[:5000], "cut short"),
    ("a tar without its end", tar(member("a", b"1"))[:1024], "cut short"),
    ("garbage after a file", tar(member("a", b"1"))[:1024] + b"garbage!" * 64 + bytes(1024), "damaged"),
    ("no tar", b"PK\x03\x04" + bytes(1000), "whole tar"),
    ("text", b"hello", "whole tar"),
    ("nothing", b"", "whole tar"),
    ("an empty gzip", gzip.compress(b""), "whole tar"),
    ("text in a gzip", gzip.compress(b"hello" * 500), "whole tar"),
]


@pytest.mark.parametrize(("archive", "says"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_hostile_archive_is_refused_and_nothing_stored(
    workspace: Workspace, tmp_path: Path, archive: bytes, says: str
) -> None:
    with pytest.raises((BadArchive, BadPath), match=says):
        workspace.import_tar(io.BytesIO(archive))
    assert stored(tmp_path) == set()


def test_a_hostile_member_after_good_ones_stores_none_of_them(workspace: Workspace, tmp_path: Path) -> None:
    archive = tar(member("a", b"1"), member("b/c", b"2"), member("../evil", b"3"))
    with pytest.raises(BadPath):
        workspace.import_tar(io.BytesIO(archive))
    assert stored(tmp_path) == set()


def test_any_damage_is_refused_or_read_as_files(workspace: Workspace) -> None:
    """Nothing but the two errors leaves the parser, whatever the bytes."""
    rng = random.Random(3)
    whole = tar(member("a", b"1" * 700), member("b" * 120, b"2"), member("d", kind=tarfile.DIRTYPE), member("é", b"3"))
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        # Most damage breaks the checksum; a repaired one lets it through to the parser behind.
        data[:] = b"".join(repaired(bytes(data[at : at + 512])) for at in range(0, len(data), 512))
        file: BinaryIO = io.BytesIO(bytes(data))
        try:
            workspace.import_tar(file)
        except (BadArchive, BadPath):
            continue


def repaired(block: bytes) -> bytes:
    if len(block) < 512 or block[257:262] != b"ustar":
        return block
    total = sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")
    return block[:148] + b"%06o\0 " % total + block[156:]


def test_a_thousand_chained_headers_end_in_an_error(workspace: Workspace) -> None:
    header = tar(member("a" * 300))[:1536]
    with pytest.raises(BadArchive):
        workspace.import_tar(io.BytesIO(header[:1024] * 5000))
