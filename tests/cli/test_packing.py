"""Inputs on their way into a workspace."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from services.cli import packing
from services.cli.packing import input_files, lay_out, packed
from services.cli.problems import Usage
from services.core.paths import BadPath, Limits
from services.core.tarball import BadArchive


def names(directory: Path, *inputs: str) -> list[str]:
    """What the inputs become in the workspace, from inside `directory`."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        return sorted(input_files([(name, Path(name)) for name in inputs]))
    finally:
        os.chdir(before)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with what belongs to it, and what does not."""
    for name in ("here/a.py", "here/data/b.csv", "here/.git/config", "here/__pycache__/a.pyc", "other/c.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "here" / "link").symlink_to("/etc/passwd")
    (tmp_path / "here" / "data" / "up").symlink_to("..")
    return tmp_path


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["a.py"], ["a.py"]),
        (["./data/b.csv"], ["data/b.csv"]),
        (["data"], ["data/b.csv"]),
        (["."], ["a.py", "data/b.csv"]),
        (["../other"], ["other/c.txt"]),
        (["../other/c.txt"], ["c.txt"]),
        (["a.py", "."], ["a.py", "data/b.csv"]),
    ],
)
def test_names_are_as_the_user_wrote_them(tree: Path, inputs: list[str], expected: list[str]) -> None:
    assert names(tree / "here", *inputs) == expected


def test_an_absolute_path_becomes_its_last_part(tree: Path) -> None:
    assert names(tree, str(tree / "here")) == ["here/a.py", "here/data/b.csv"]


def test_two_files_under_one_name_are_refused(tree: Path) -> None:
    (tree / "a.py").write_text("another one")
    with pytest.raises(Usage, match=r"two inputs would both be a\.py"):
        names(tree / "here", "a.py", "../a.py")


def test_what_is_not_there_is_refused(tree: Path) -> None:
    with pytest.raises(Usage, match="there is no such file"):
        names(tree, "no-such")


def test_a_name_that_is_none_in_a_workspace_is_refused(tree: Path) -> None:
    (tree / "a\nb").write_text("")
    with pytest.raises(BadPath, match="control character"):
        names(tree, "a\nb")


def test_too_much_is_refused_before_it_is_packed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "DEFAULT_LIMITS", Limits(files=1))
    with pytest.raises(Usage, match="2 files; 1 are allowed"):
        names(tree, "here")
    monkeypatch.setattr(packing, "DEFAULT_LIMITS", Limits(total_bytes=5))
    with pytest.raises(Usage, match="let the agent fetch large data"):
        names(tree, "here")


def test_equal_files_give_equal_bytes(tree: Path) -> None:
    files = {"x.py": tree / "here" / "a.py", "y.py": tree / "here" / "a.py"}
    with packed(files) as first, packed(dict(reversed(files.items()))) as second:
        assert first.read() == second.read()


def test_a_hostile_archive_writes_nothing_outside(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../evil"), io.BytesIO())
    archive.seek(0)
    with pytest.raises((BadPath, BadArchive)):
        lay_out(archive, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
