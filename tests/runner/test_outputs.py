"""Which files of an output directory are handed over."""

import os
from pathlib import Path

from services.runner.outputs import OutputLimits, Skipped, survey


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert survey(tmp_path / "out", OutputLimits()).paths == ()


def test_files_are_found_in_all_directories_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "d").write_bytes(b"d")
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = survey(tmp_path, OutputLimits())
    assert found.paths == ("a", "b/c/d")
    assert found.skipped == (Skipped("loop", "a symbolic link"),)


def test_names_nobody_could_show_are_left_out_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "new\nline").write_bytes(b"")
    with open(os.fsencode(tmp_path) + b"/\xff\xfe", "wb"):
        pass
    found = survey(tmp_path, OutputLimits())
    assert found.paths == ()
    assert found.skipped_count == 2
    assert all(each.why for each in found.skipped)


def test_limits_on_count_and_bytes_keep_the_first_files(tmp_path: Path) -> None:
    for name in ("1", "2", "3", "4"):
        (tmp_path / name).write_bytes(b"x" * 10)
    assert survey(tmp_path, OutputLimits(files=2)).paths == ("1", "2")
    (tmp_path / "1").write_bytes(b"x" * 25)
    by_bytes = survey(tmp_path, OutputLimits(bytes=30))
    assert by_bytes.paths == ("1",)
    assert [each.path for each in by_bytes.skipped] == ["2", "3", "4"]


def test_directories_without_a_bottom_are_left_out(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(40):
        deep = deep / "d"
        deep.mkdir()
    (deep / "file").write_bytes(b"")
    found = survey(tmp_path, OutputLimits())
    assert found.paths == ()
    assert found.skipped_count == 1


def test_of_a_thousand_things_left_out_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number:04}").symlink_to("/")
    found = survey(tmp_path, OutputLimits())
    assert found.skipped_count == 1000
    assert len(found.skipped) == 50
