"""The files of the spool, whole, damaged or missing."""

from pathlib import Path

import pytest

from services.runner.spool import Cursor, Settlement, Spool, is_held, take


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def test_an_empty_spool_says_that_nothing_has_happened(spool: Spool) -> None:
    assert spool.exit() is None
    assert spool.shim() is None
    assert spool.usage() is None
    assert spool.settlement() is None
    assert spool.cursor() == Cursor(offset=0, metrics=0)
    assert not spool.is_claimed()
    assert not spool.is_cancelled()


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"exit_code": "many"}', "\0"])
def test_damaged_files_count_as_absent(spool: Spool, damage: str) -> None:
    for name in ("exit.json", "shim.json", "usage.json", "settled.json", "claim.json"):
        (spool.directory / name).write_text(damage)
    (spool.directory / "cursor.json").write_text(damage and "{")
    test_an_empty_spool_says_that_nothing_has_happened(spool)


def test_what_is_written_is_read_back(spool: Spool) -> None:
    spool.save_cursor(Cursor(offset=7, metrics=2))
    spool.settle(Settlement.FENCED)
    spool.grant("uid")
    assert spool.cursor() == Cursor(offset=7, metrics=2)
    assert spool.settlement() is Settlement.FENCED
    assert spool.is_claimed()
    spool.deny("another was first")
    assert not spool.is_claimed()


def test_the_first_cancel_rules(spool: Spool) -> None:
    spool.cancel(grace_seconds=3)
    spool.cancel()
    spool.cancel(grace_seconds=90)
    assert spool.is_cancelled()
    assert (spool.directory / "cancel").read_text() == '{"grace_seconds": 3}'


def test_a_lock_is_held_by_one_and_probing_it_takes_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert not is_held(lock)
    assert take(lock)
    assert is_held(lock)
    assert not take(lock)
    assert is_held(lock)
