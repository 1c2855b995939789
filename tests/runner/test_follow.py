"""Deciding when to ship, and the digest of a log that is read in pieces."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.core.observations import Gap
from services.runner.follow import Ages, Digest, LogFile, is_due, with_missing_tail
from services.runner.spool import ExitReason, ExitRecord, Spool


@pytest.mark.parametrize(
    ("pending", "age", "is_over", "due"),
    [
        (0, 0.0, False, False),
        (0, 9.0, True, False),
        (1, 0.0, False, False),
        (1, 0.19, False, False),
        (1, 0.2, False, True),
        (1, 0.0, True, True),
        (64 * 1024 - 1, 0.0, False, False),
        (64 * 1024, 0.0, False, True),
    ],
)
def test_bytes_go_when_there_are_enough_or_they_waited_enough_or_no_more_come(
    pending: int, age: float, is_over: bool, due: bool
) -> None:
    assert is_due(pending, age, is_over) is due


def digest_over(path: Path, data: bytes) -> Digest:
    path.write_bytes(data)
    return Digest(LogFile(path))


def test_the_digest_is_that_of_the_whole_log_whatever_was_read_twice_or_skipped(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20
    digest = digest_over(tmp_path / "log", data)
    for start, end in ((0, 100), (50, 150), (0, 10), (1000, 1100), (1100, 1101)):
        digest.feed(start, data[start:end])
    assert digest.hexdigest(len(data)) == hashlib.sha256(data).hexdigest()


def test_the_digest_of_a_log_that_nobody_read_comes_from_the_file(tmp_path: Path) -> None:
    assert digest_over(tmp_path / "log", b"all").hexdigest(3) == hashlib.sha256(b"all").hexdigest()


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    assert (log.size(), log.read(0, 10)) == (0, b"")
    (tmp_path / "log").write_bytes(b"now")
    assert (log.size(), log.read(1, 10)) == (3, b"ow")


def test_a_log_shorter_than_reported_has_a_gap_at_its_end() -> None:
    record = ExitRecord(exit_code=0, signal=None, reason=ExitReason.EXITED, started=1, finished=2, bytes=100)
    assert with_missing_tail(record, 100) == record
    shorter = with_missing_tail(record, 60)
    assert (shorter.bytes, shorter.gaps) == (60, (Gap(offset=60, bytes=40),))


def test_a_link_in_the_logs_place_leads_nowhere(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_bytes(b"secret")
    (tmp_path / "log").symlink_to(token)
    log = LogFile(tmp_path / "log")
    assert (log.size(), log.read(0, 100)) == (0, b"")


@pytest.mark.parametrize("put", [lambda path, token: path.symlink_to(token), lambda path, _: os.mkfifo(path)])
def test_links_and_pipes_among_the_reports_are_none(tmp_path: Path, put: Callable[[Path, Path], None]) -> None:
    token = tmp_path / "token"
    token.write_text('{"exit_code": 0}')
    put(tmp_path / "exit.json", token)
    assert Spool(tmp_path).exit() is None


def test_the_age_of_a_byte_is_counted_from_the_last_look_that_did_not_see_it() -> None:
    ages = Ages(now=0.0)
    assert ages.of(0, 5.0) == 0
    ages.look(0, 10.0)
    ages.look(100, 12.0)
    assert (ages.of(0, 12.0), ages.of(99, 13.0), ages.of(100, 13.0)) == (2.0, 3.0, 0.0)


def test_what_was_written_during_a_long_send_is_as_old_as_that() -> None:
    ages = Ages(now=0.0)
    ages.look(100, 1.0)
    assert ages.of(0, 1.0) == 1.0
    # The send takes until now, and the program has gone on meanwhile.
    ages.look(300, 31.0)
    assert ages.of(100, 31.0) == 30.0
    ages.look(400, 31.1)
    assert ages.of(250, 31.1) == pytest.approx(30.1)
    assert ages.of(300, 31.1) == pytest.approx(0.1)


def test_a_log_that_stands_still_grows_old() -> None:
    ages = Ages(now=0.0)
    for second in range(1, 100):
        ages.look(7, float(second))
    assert ages.of(3, 99.0) == 99.0
