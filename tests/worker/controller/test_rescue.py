"""What a runner did not bring of a log is fetched, where its place is certain."""

import pytest

from services.core.keys import rank_id, run_of_attempt
from services.core.records import Attempt
from services.worker.controller.rescue import missing_of
from services.worker.executors import Phase, Remains
from tests.worker.controller.cloud import exit_record
from tests.worker.controller.conftest import Control, go_round

LOG = b"".join(b"epoch %d\n" % number for number in range(1000))
SIZE = len(LOG)
SAME = b"waiting\n" * 1000


def copy(data: bytes, size: int | None = SIZE, before: int = 0) -> Remains:
    return Remains(data, before, size, is_exact=False)


def missing(remains: Remains, stored: bytes, tail_bytes: int = 64) -> bytes:
    return missing_of(remains, len(stored), stored[-tail_bytes:])


@pytest.mark.parametrize("stored", [0, 1, 5000, SIZE - 1, SIZE])
@pytest.mark.parametrize("size", [SIZE, None])
def test_a_whole_copy_gives_all_that_is_not_stored(stored: int, size: int | None) -> None:
    assert missing(copy(LOG, size), LOG[:stored]) == LOG[stored:]


def test_a_newline_that_nobody_wrote_is_left_out() -> None:
    log = LOG[:-1]
    assert missing(copy(log + b"\n", len(log)), log[:5000]) == log[5000:]


def test_a_copy_that_was_rotated_is_put_where_it_ends() -> None:
    assert missing(copy(LOG[4000:]), LOG[:5000]) == LOG[5000:]
    assert missing(copy(LOG[4000:], None), LOG[:5000]) == LOG[5000:]


def test_a_copy_of_which_only_the_end_was_kept_is_put_behind_what_came_before() -> None:
    assert missing(copy(LOG[4000:], None, before=4000), LOG[:5000]) == LOG[5000:]


def test_nothing_is_put_behind_a_gap() -> None:
    assert missing(copy(LOG[6000:]), LOG[:5000]) == b""
    assert missing(copy(LOG[6000:], None), LOG[:5000]) == b""
    assert missing(copy(LOG[5000:]), LOG[:5000]) == b""


def test_a_copy_that_says_something_else_is_not_believed() -> None:
    assert missing(copy(b"cohort: no space\n" + LOG), LOG[:5000]) == b""
    assert missing(copy(LOG[:6000] + LOG[6100:]), LOG[:5000]) == b""
    assert missing(copy(LOG.replace(b"epoch", b"EPOCH")), LOG[:5000]) == b""


def test_words_that_come_again_and_again_have_a_place_only_where_the_size_is_known() -> None:
    assert missing(copy(SAME[800:], len(SAME)), SAME[:4000]) == SAME[4000:]
    assert missing(copy(b"x" * 70 + SAME, None), SAME[:4000]) == b""


def test_the_log_itself_needs_nothing_in_common() -> None:
    assert missing(Remains(LOG[5000:], 5000, SIZE, is_exact=True), LOG[:5000]) == LOG[5000:]
    assert missing(Remains(LOG[6000:], 6000, SIZE, is_exact=True), LOG[:5000]) == b""


# --- In the controller ------------------------------------------------------------------------------------------------


def claimed(control: Control, nodes: int = 1) -> str:
    """An attempt whose runners claimed it, and were not heard since."""
    attempt = control.submit(nodes=nodes) if nodes > 1 else control.submit()
    for rank in range(nodes):
        name = rank_id(attempt, rank)
        control.attempts.claim(name, f"pod-{rank}")
        control.store.client.hset(control.store.keys.attempt(name), "heartbeat_at", "1.0")
    return attempt


def closed(control: Control, attempt: str) -> Attempt:
    go_round(control.reconciler)
    return control.store.state(run_of_attempt(attempt)).steps["train"].attempts[-1]


def test_a_runner_that_never_reported_costs_no_byte_that_the_executor_has(control: Control) -> None:
    attempt = claimed(control)
    control.logs.append(attempt, 0, LOG[:5000])
    control.cloud.set(attempt, Phase.FINISHED, exit_record(3, bytes=SIZE))
    control.cloud.left[attempt, 0] = copy(LOG)

    found = closed(control, attempt)

    assert b"".join(control.logs.stream(attempt)) == LOG
    assert (found.log_bytes, found.gap_bytes, found.log_complete) == (SIZE, 0, False)


def test_what_stays_missing_is_counted(control: Control) -> None:
    attempt = claimed(control)
    control.logs.append(attempt, 0, LOG[:5000])
    control.cloud.set(attempt, Phase.FINISHED, exit_record(3, bytes=SIZE))
    control.cloud.left[attempt, 0] = copy(LOG[6000:])

    found = closed(control, attempt)

    assert (found.log_bytes, found.gap_bytes, found.log_complete) == (5000, SIZE - 5000, False)


def test_more_than_fits_a_write_is_fetched_too(control: Control) -> None:
    attempt, log = claimed(control), LOG * 400
    control.cloud.set(attempt, Phase.FINISHED, exit_record(3, bytes=len(log)))
    control.cloud.left[attempt, 0] = copy(log, len(log))

    assert closed(control, attempt).log_bytes == len(log)
    assert b"".join(control.logs.stream(attempt)) == log


def test_each_rank_that_was_silent_is_fetched(control: Control) -> None:
    attempt = claimed(control, nodes=2)
    control.report(attempt, exit_code=3)
    control.cloud.set(attempt, Phase.FINISHED, exit_record(3, bytes=SIZE), rank=0)
    for rank in range(2):
        control.cloud.left[attempt, rank] = copy(LOG)

    closed(control, attempt)

    assert [control.logs.size(rank_id(attempt, rank)) for rank in range(2)] == [0, SIZE]


def test_a_log_that_was_reported_is_left_as_it_is(control: Control) -> None:
    attempt = claimed(control)
    control.report(attempt, exit_code=0)
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0))
    control.cloud.left[attempt, 0] = copy(LOG)

    assert closed(control, attempt).log_bytes == 0
