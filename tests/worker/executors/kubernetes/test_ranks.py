"""An attempt of several pods as one, from how each of them stands."""

from dataclasses import replace

from services.core.records import Diagnosis, Stage
from services.core.taxonomy import Failure, Owner
from services.runner.spool import ExitReason, ExitRecord
from services.worker.executors import Observed, Phase
from services.worker.executors.kubernetes.case import Case
from services.worker.executors.kubernetes.ranks import Rank, as_one
from tests.worker.executors.kubernetes.cases import case_of, disrupted, ended, moment, told, with_pod

ATTEMPT = "rk3v9x2m4q8aa-train-1"


def living(number: int, phase: Phase = Phase.RUNNING, stage: Stage = Stage.RUNNING, detail: str = "") -> Rank:
    return Rank(number, Observed(ATTEMPT, phase, stage=stage, detail=detail), Case(0.0, rank=number))


def over(
    number: int, code: int | None = 0, reason: str = "exited", *, at: float = 0.0, recorded: str = "exit_0"
) -> Rank:
    """A rank that ended `at` seconds before now."""
    case = ended(case_of(recorded, 9, rank=number), code, reason, at=at)
    return of_case(case)


def of_case(case: Case, phase: Phase = Phase.FINISHED) -> Rank:
    assert case.exit
    assert case.rank is not None
    return Rank(case.rank, Observed(ATTEMPT, phase, case.exit, case.exit.reason.value), case)


def ended_for_another(number: int, at: float) -> Rank:
    return of_case(ended(case_of("exit_143", 9, rank=number), 143, "signalled", signal=15, at=at))


def test_it_runs_once_every_rank_does_and_stands_where_the_slowest_stands() -> None:
    waiting = living(1, Phase.STARTING, Stage.SCHEDULING, "0/1 nodes: insufficient cpu")
    seen = as_one(ATTEMPT, [living(0), waiting])
    assert (seen.phase, seen.stage, seen.detail) == (
        Phase.STARTING,
        Stage.SCHEDULING,
        "rank 1: 0/1 nodes: insufficient cpu",
    )
    assert as_one(ATTEMPT, [living(0), living(1)]).phase is Phase.RUNNING


def test_it_is_tended_when_all_its_ranks_are() -> None:
    lonely = replace(living(1), seen=Observed(ATTEMPT, Phase.STARTING, tended=False))
    assert not as_one(ATTEMPT, [living(0), lonely]).tended


def test_a_rank_that_is_done_early_is_waited_for_with_the_others() -> None:
    seen = as_one(ATTEMPT, [over(0), living(1)])
    assert (seen.phase, seen.diagnosis, seen.exit) == (Phase.RUNNING, None, None)


def test_all_that_end_well_end_well_together() -> None:
    seen = as_one(ATTEMPT, [over(rank, at=4 - rank) for rank in range(4)])
    assert (seen.phase, seen.diagnosis, seen.rank) == (Phase.FINISHED, None, 0)
    assert seen.exit
    assert seen.exit.exit_code == 0
    assert seen.exit.bytes == 40


def test_while_others_still_end_the_end_of_a_rank_is_told_and_not_judged() -> None:
    seen = as_one(ATTEMPT, [living(0), over(1, 3, at=1, recorded="exit_3")])
    assert (seen.phase, seen.stage, seen.diagnosis) == (Phase.RUNNING, Stage.FINISHING, None)
    assert seen.detail == "rank 1: its program ended with exit code 3; the other ranks are ended"


def test_the_rank_that_failed_first_is_the_cause_not_the_loudest() -> None:
    ranks = [over(0, 1, at=2, recorded="exit_3"), ended_for_another(1, 0.5), over(2, 3, at=3, recorded="exit_3")]
    seen = as_one(ATTEMPT, [*ranks, ended_for_another(3, 0.4)])
    assert (seen.phase, seen.rank) == (Phase.FINISHED, 2)
    assert seen.exit
    assert seen.exit.exit_code == 3
    assert seen.diagnosis
    assert (seen.diagnosis.code, seen.diagnosis.summary[:7]) == ("rank_failed", "rank 2:")


def test_the_time_is_from_the_first_start_to_the_last_end() -> None:
    first, last = over(0, 3, at=5, recorded="exit_3"), over(1, 1, at=1, recorded="exit_3")
    assert first.seen.exit
    assert last.seen.exit
    exit = as_one(ATTEMPT, [first, last]).exit
    assert exit
    assert (exit.exit_code, exit.finished) == (3, last.seen.exit.finished)
    assert exit.started == min(first.seen.exit.started, last.seen.exit.started)


def test_a_rank_whose_node_was_taken_loses_the_attempt_though_another_failed_for_it_before() -> None:
    taken = disrupted(ended_for_another(1, 1).case, "DeletionByTaintManager")
    seen = as_one(ATTEMPT, [over(0, 1, at=3, recorded="exit_3"), of_case(taken)])
    assert seen.rank == 1
    assert seen.diagnosis
    assert (seen.diagnosis.code, seen.diagnosis.is_retriable) == ("node_tainted", True)


def unheard(number: int, seconds: float, **metadata: str) -> Rank:
    """A rank whose node has not been heard of for so long, as far as the cluster knows."""
    case = case_of("running", 600, rank=number)
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": moment(case.now - seconds)}
    case = told(with_pod(case, status={"conditions": [unready]}), "NodeNotReady", "Node is not ready", seconds)
    return Rank(number, Observed(ATTEMPT, Phase.RUNNING), with_pod(case, metadata=metadata))


def test_a_rank_on_a_node_that_is_not_heard_of_loses_the_attempt_though_another_failed_for_it_before() -> None:
    seen = as_one(ATTEMPT, [over(0, 1, at=150, recorded="exit_3"), unheard(1, 100)])
    assert (seen.phase, seen.rank) == (Phase.RUNNING, 1)
    assert seen.diagnosis
    assert (seen.diagnosis.code, seen.diagnosis.is_final, seen.diagnosis.is_retriable) == ("node_lost", True, True)


def test_while_a_node_may_come_back_a_rank_that_failed_is_told_and_not_judged() -> None:
    seen = as_one(ATTEMPT, [over(0, 1, at=20, recorded="exit_3"), unheard(1, 10)])
    assert (seen.phase, seen.stage, seen.diagnosis) == (Phase.RUNNING, Stage.FINISHING, None)


def test_a_rank_that_the_job_controller_cannot_end_for_another_is_on_a_lost_node_all_the_same() -> None:
    """Its pod was deleted when the other rank failed, and its kubelet never heard of that."""
    now = unheard(1, 100).case.now
    stuck = unheard(1, 100, deletionTimestamp=moment(now + 500))
    seen = as_one(ATTEMPT, [over(0, 1, at=100, recorded="exit_3"), stuck])
    assert (seen.rank, seen.diagnosis and seen.diagnosis.code) == (1, "node_lost")


def test_one_that_was_cancelled_is_cancelled_though_a_rank_was_done() -> None:
    ended = ExitRecord(exit_code=143, signal=15, reason=ExitReason.CANCELLED, started=1, finished=2, bytes=0)
    cancelled = Rank(1, Observed(ATTEMPT, Phase.FINISHED, ended, "cancelled"), Case(3.0, cancelled_at=1.5, rank=1))
    seen = as_one(ATTEMPT, [over(0), cancelled])
    assert (seen.phase, seen.reason, seen.diagnosis) == (Phase.FINISHED, "cancelled", None)


def test_without_any_pod_it_is_nowhere() -> None:
    nowhere = [Rank(rank, Observed(ATTEMPT, Phase.ABSENT), Case(0.0, rank=rank)) for rank in range(2)]
    assert as_one(ATTEMPT, nowhere).phase is Phase.ABSENT


def test_the_finding_is_in_the_words_of_the_cause() -> None:
    seen = as_one(ATTEMPT, [over(0, 3, at=1, recorded="exit_3")])
    assert seen.diagnosis == Diagnosis(
        failure=Failure.CODE_ERROR,
        owner=Owner.CODE,
        code="rank_failed",
        summary="rank 0: its program ended with exit code 3",
        remedy="read that rank's log; what the other ranks say follows from it",
    )
