"""Files out of the artifact store."""

from pathlib import Path

import pytest

from services.core.artifacts import ArtifactDamaged, ArtifactNotFound, ArtifactStore
from services.core.errors import BadRequest
from services.worker.executors.laying import Laid, lay


def test_files_are_laid_with_their_directories_and_permissions(tmp_path: Path, artifacts: ArtifactStore) -> None:
    sha256 = artifacts.put(b"echo hello\n")
    lay(tmp_path / "work", [Laid("bin/run.sh", sha256, 0o755), Laid("copy", sha256)], artifacts)
    assert (tmp_path / "work/bin/run.sh").read_bytes() == b"echo hello\n"
    assert (tmp_path / "work/bin/run.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "work/copy").stat().st_mode & 0o777 == 0o644


def test_a_program_that_changes_its_files_does_not_change_the_store(tmp_path: Path, artifacts: ArtifactStore) -> None:
    sha256 = artifacts.put(b"before")
    lay(tmp_path / "work", [Laid("file", sha256)], artifacts)
    (tmp_path / "work/file").write_bytes(b"after")
    assert artifacts.get(sha256) == b"before"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ""])
def test_nothing_is_laid_outside_the_directory(tmp_path: Path, artifacts: ArtifactStore, path: str) -> None:
    sha256 = artifacts.put(b"")
    with pytest.raises(BadRequest):
        lay(tmp_path / "work", [Laid(path, sha256)], artifacts)


def test_what_the_store_lost_or_changed_is_an_error(tmp_path: Path, artifacts: ArtifactStore) -> None:
    with pytest.raises(ArtifactNotFound):
        lay(tmp_path / "work", [Laid("file", "0" * 64)], artifacts)
    sha256 = artifacts.put(b"right")
    stored = next(path for path in (tmp_path / "artifacts").rglob("*") if path.name == sha256)
    stored.chmod(0o644)
    stored.write_bytes(b"wrong")
    with pytest.raises(ArtifactDamaged):
        lay(tmp_path / "work", [Laid("file", sha256)], artifacts)
