"""The table of a run's life."""

import itertools

import pytest

from services.core.errors import IllegalTransition
from services.core.lifecycle import FINAL, TRANSITIONS, Reason, Status, check_move, diagram, ending, exit_code

LEGAL = {(row.source, row.target) for row in TRANSITIONS}


@pytest.mark.parametrize(("source", "target"), list(itertools.product(Status, Status)))
def test_a_move_is_legal_when_it_is_a_row_of_the_table_or_no_move(source: Status, target: Status) -> None:
    if source is target or (source, target) in LEGAL:
        check_move(source, target)
    else:
        with pytest.raises(IllegalTransition, match=f"{source} to {target}"):
            check_move(source, target)


def test_no_row_is_there_twice_and_each_says_its_cause() -> None:
    assert len(LEGAL) == len(TRANSITIONS)
    assert all(row.cause for row in TRANSITIONS)


@pytest.mark.parametrize("status", Status)
def test_nothing_follows_a_final_status_and_something_follows_every_other(status: Status) -> None:
    assert any(row.source is status for row in TRANSITIONS) is not status.is_final


@pytest.mark.parametrize("status", Status)
def test_every_status_can_be_reached_and_can_reach_an_end(status: Status) -> None:
    assert status in _reachable(Status.QUEUED)
    assert _reachable(status) & FINAL


@pytest.mark.parametrize("status", [status for status in Status if not status.is_final])
def test_every_run_that_is_not_over_can_be_cancelled(status: Status) -> None:
    check_move(status, Status.CANCELLING)


def test_only_a_person_or_time_can_end_a_run_that_needs_a_human() -> None:
    targets = {row.target for row in TRANSITIONS if row.source is Status.NEEDS_HUMAN}
    assert targets == {Status.RUNNING, Status.CANCELLING}


@pytest.mark.parametrize("reason", Reason)
def test_a_run_that_is_wound_up_can_reach_the_end_its_reason_means(reason: Reason) -> None:
    check_move(Status.CANCELLING, ending(reason))


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (Status.SUCCEEDED, Reason.FINISHED, 0),
        (Status.FAILED, Reason.MODEL_REFUSED, 1),
        (Status.FAILED, Reason.MODEL_AUTH, 1),
        (Status.FAILED, Reason.STEP_INFRASTRUCTURE, 3),
        (Status.FAILED, Reason.MODEL_UNAVAILABLE, 3),
        (Status.FAILED, Reason.POISON, 3),
        (Status.FAILED, Reason.INTERNAL, 3),
        (Status.CANCELLED, Reason.CANCELLED_BY_USER, 4),
        (Status.TIMED_OUT, Reason.DEADLINE, 5),
        (Status.OVER_LIMIT, Reason.DOLLAR_LIMIT, 6),
        (Status.FAILED, Reason.MODEL_CREDIT, 6),
        (Status.NEEDS_HUMAN, Reason.ASKED, 7),
        (Status.QUEUED, Reason.NONE, None),
        (Status.RUNNING, Reason.NONE, None),
        (Status.WAITING, Reason.WAITING_FOR_STEPS, None),
        (Status.CANCELLING, Reason.CANCELLED_BY_USER, None),
    ],
)
def test_the_exit_code_tells_how_a_run_ended(status: Status, reason: Reason, code: int | None) -> None:
    assert exit_code(status, reason) == code


@pytest.mark.parametrize("status", sorted(FINAL))
def test_every_end_has_an_exit_code_and_only_success_has_zero(status: Status) -> None:
    codes = {exit_code(status, reason) for reason in Reason}
    assert None not in codes
    assert (0 in codes) is (status is Status.SUCCEEDED)


def test_the_diagram_shows_every_row_and_every_end() -> None:
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    for row in TRANSITIONS:
        assert f"    {row.source} --> {row.target}: {row.cause}" in lines
    assert {line.split()[0] for line in lines if line.endswith("--> [*]")} == set(FINAL)


def _reachable(start: Status) -> set[Status]:
    found, edge = {start}, {start}
    while edge:
        edge = {row.target for row in TRANSITIONS if row.source in edge} - found
        found |= edge
    return found
