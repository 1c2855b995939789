"""Attempts on several nodes: what their ranks reported, as one, and what the controller makes of it."""

import pytest

from services.core import events as ev
from services.core.attempts import AttemptRecord
from services.core.keys import rank_id, run_of_attempt
from services.core.records import Attempt, Diagnosis, FileRef
from services.core.taxonomy import Failure, Owner
from services.runner.spool import ExitReason
from services.worker.controller.ranks import as_one, outputs
from services.worker.executors import Observed, Phase
from tests.worker.controller.cloud import exit_record, report
from tests.worker.controller.conftest import Control, go_round

LOSS = Diagnosis(
    failure=Failure.STOPPED,
    owner=Owner.PLATFORM,
    code="node_lost",
    summary="rank 1: its node is gone",
    is_retriable=True,
)
FAULT = Diagnosis(failure=Failure.CODE_ERROR, owner=Owner.CODE, code="rank_failed", summary="rank 1: exit code 3")


def log(control: Control, attempt: str, rank: int, data: bytes) -> None:
    control.logs.append(rank_id(attempt, rank), 0, data)


def say_end(control: Control, attempt: str, rank: int, exit_code: int | None = 0, **fields: object) -> None:
    """A rank's runner reports."""
    name = rank_id(attempt, rank)
    size = control.logs.size(name)
    control.attempts.finish(name, report(exit_code, bytes=size, **fields), log_complete=True)


def last(control: Control, attempt: str) -> Attempt:
    return control.store.state(run_of_attempt(attempt)).steps["train"].attempts[0]


@pytest.mark.parametrize("nodes", [2, 4])
def test_a_start_is_told_once_every_rank_is_claimed(control: Control, nodes: int) -> None:
    attempt = control.submit(nodes=nodes)
    control.cloud.set(attempt, Phase.RUNNING)
    for rank in range(nodes):
        go_round(control.reconciler)
        assert last(control, attempt).status == "submitted"
        control.attempts.claim(rank_id(attempt, rank), f"pod-{rank}")
    go_round(control.reconciler)
    assert last(control, attempt).status == "running"
    assert control.kinds(run_of_attempt(attempt)).count("attempt_started") == 1


@pytest.mark.parametrize("nodes", [2, 4])
def test_it_closes_when_all_ranks_have_reported_with_the_end_of_the_one_that_failed_first(
    control: Control, nodes: int
) -> None:
    attempt = control.submit(nodes=nodes)
    for rank in range(nodes):
        log(control, attempt, rank, b"12345")
    control.cloud.set(attempt, Phase.FINISHED, exit_record(3, bytes=5 * nodes), rank=1, diagnosis=FAULT)
    say_end(control, attempt, 1, 3)
    for rank in (0, *range(2, nodes)):
        # Those that have not reported are waited for as long as their runners speak.
        control.attempts.claim(rank_id(attempt, rank), f"pod-{rank}")
        go_round(control.reconciler)
        assert last(control, attempt).is_live
        say_end(control, attempt, rank, 143, reason="signalled", signal=15)

    go_round(control.reconciler)

    closed = last(control, attempt)
    assert (closed.status, closed.exit_code, closed.rank, closed.reason) == ("failed", 3, 1, "rank 1: exit code 3")
    assert (closed.log_bytes, closed.log_complete, closed.gap_bytes) == (5 * nodes, True, 0)
    assert not any(control.attempts.is_live(rank_id(attempt, rank)) for rank in range(nodes))


def test_a_log_that_one_rank_could_not_send_whole_makes_the_attempts_incomplete(control: Control) -> None:
    attempt = control.submit(nodes=2)
    log(control, attempt, 0, b"12345")
    say_end(control, attempt, 0)
    said = report(0, bytes=5, gaps=[{"offset": 0, "bytes": 7}])
    control.attempts.finish(rank_id(attempt, 1), said, log_complete=False)
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0, bytes=10), rank=0)

    go_round(control.reconciler)

    closed = last(control, attempt)
    assert (closed.status, closed.log_complete) == ("succeeded", False)
    assert closed.gap_bytes >= 7


def test_a_lost_rank_fences_the_others_and_the_whole_attempt_is_tried_again(control: Control) -> None:
    attempt = control.submit(nodes=2)
    for rank in range(2):
        control.attempts.claim(rank_id(attempt, rank), f"pod-{rank}")
    control.cloud.set(attempt, Phase.LOST, exit_record(None, "shim_lost"), rank=1, diagnosis=LOSS, reason="lost")
    for rank in range(2):
        say_end(control, attempt, rank, None, reason="shim_lost")

    go_round(control.reconciler)

    state = control.store.state(run_of_attempt(attempt))
    first, second = state.steps["train"].attempts
    assert (first.status, first.rank, second.cause, second.resources.nodes) == ("lost", 1, "infrastructure", 2)
    assert [control.attempts.is_live(rank_id(first.id, rank)) for rank in range(2)] == [False, False]
    assert [control.attempts.is_live(rank_id(second.id, rank)) for rank in range(2)] == [True, True]


def test_a_lost_rank_of_which_nothing_was_heard_ends_the_attempt_though_others_are_heard(control: Control) -> None:
    attempt = control.submit(nodes=2)
    control.attempts.claim(attempt, "pod-0")
    control.cloud.set(attempt, Phase.RUNNING, rank=1, diagnosis=LOSS)

    go_round(control.reconciler)

    assert last(control, attempt).status == "lost"


def test_what_is_left_of_it_is_forgotten_once_every_log_is_whole(control: Control) -> None:
    attempt = control.submit(nodes=2)
    for rank in range(2):
        log(control, attempt, rank, b"12345")
        say_end(control, attempt, rank)
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0, bytes=10), rank=0)
    for _ in range(2):
        go_round(control.reconciler)
    assert control.cloud.removed == [attempt]


def test_outputs_are_the_first_ranks_and_those_of_others_in_a_directory_of_their_own() -> None:
    def record(rank: int, *paths: str) -> AttemptRecord:
        files = [FileRef(path=path, sha256="0" * 64, size=rank) for path in paths]
        return AttemptRecord(attempt=rank_id("r-train-1", rank), finish=report(outputs=files))

    found = outputs([record(0, "model.bin"), record(1), record(2, "shard", "a/b")])

    assert [(file.path, file.size) for file in found] == [("model.bin", 0), ("rank-2/shard", 2), ("rank-2/a/b", 2)]


def test_the_record_of_an_only_rank_is_its_own() -> None:
    record = AttemptRecord(attempt="r-train-1", claimed_at=1.0)
    assert as_one([record], Observed("r-train-1", Phase.RUNNING)) is record


def test_every_ranks_log_is_put_together_in_the_archive(control: Control) -> None:
    attempt = control.submit(nodes=2)
    run = run_of_attempt(attempt)
    for rank in range(2):
        log(control, attempt, rank, b"12345")
        say_end(control, attempt, rank)
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0, ExitReason.EXITED, bytes=10), rank=0)
    go_round(control.reconciler)
    assert isinstance(last(control, attempt), Attempt)

    control.archivist.archive(run)

    assert len(control.artifacts.list_named(f"logs/{run}/train/1.1/")) == 1
    assert control.logs.read(rank_id(attempt, 1), 0, 99) == b"12345"
    assert ev.AttemptFinished.event_type in control.kinds(run)
