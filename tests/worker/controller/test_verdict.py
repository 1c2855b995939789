"""What to do about an attempt: every phase, with every wish of the run and every word of the runner."""

from typing import Any

import pytest

from services.core.attempts import AttemptRecord
from services.core.lifecycle import Status
from services.core.records import Diagnosis, Stage
from services.core.taxonomy import Failure, Owner
from services.worker.controller.verdict import Action, Cancel, Close, Nothing, Started, Submit, decide, is_wanted
from services.worker.executors import Observed, Phase
from tests.worker.controller.cloud import exit_record, report
from tests.worker.states import state_of, step_of, steps_of

WANTED = [Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN, Status.QUEUED]
UNWANTED = [Status.CANCELLING, Status.SUCCEEDED, Status.FAILED]
FINISH_SECONDS = 60.0
ENDED = 1_090.0


def decided(
    phase: Phase,
    *,
    run: Status = Status.RUNNING,
    attempt: str = "running",
    cancelling: bool = False,
    exit: Any = None,
    tended: bool = True,
    claimed: bool = True,
    reported: bool = True,
    now: float = ENDED + 1,
    reason: str = "",
    diagnosis: Diagnosis | None = None,
    heard: float | None = None,
    stage: Stage | None = None,
) -> Action:
    step = step_of(attempt, cancelling=cancelling)
    state = state_of(run, steps=steps_of(step))
    record = AttemptRecord(
        attempt=step.last.id,
        claimed_at=1_000.0 if claimed else None,
        heartbeat_at=heard,
        finish=report() if reported else None,
    )
    seen = Observed(step.last.id, phase, exit, reason, tended, stage=stage, diagnosis=diagnosis)
    return decide(state, step.last, record, seen, now, FINISH_SECONDS)


def diagnosis_of(*, is_final: bool = True, is_retriable: bool = False) -> Diagnosis:
    return Diagnosis(
        failure=Failure.IMAGE_PULL,
        owner=Owner.CODE,
        code="image_not_found",
        summary="there is no such image",
        is_final=is_final,
        is_retriable=is_retriable,
    )


@pytest.mark.parametrize("run", WANTED)
def test_a_run_wants_its_attempts_while_it_lives(run: Status) -> None:
    step = step_of("running")

    assert is_wanted(state_of(run, steps=steps_of(step)), step.last)


@pytest.mark.parametrize(("run", "cancelling"), [*((status, False) for status in UNWANTED), (Status.RUNNING, True)])
def test_a_run_that_ends_or_cancels_a_step_does_not(run: Status, cancelling: bool) -> None:
    step = step_of("running", cancelling=cancelling)

    assert not is_wanted(state_of(run, steps=steps_of(step)), step.last)


@pytest.mark.parametrize("run", [*WANTED, *UNWANTED])
@pytest.mark.parametrize("attempt", ["submitted", "running"])
@pytest.mark.parametrize("tended", [True, False])
def test_nothing_is_done_about_a_world_that_cannot_be_seen(run: Status, attempt: str, tended: bool) -> None:
    final = diagnosis_of(is_final=True)

    assert decided(Phase.UNKNOWN, run=run, attempt=attempt, tended=tended, diagnosis=final) == Nothing()


# --- Nothing there ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "run", "cancelling", "expected"),
    [
        ("submitted", Status.RUNNING, False, Submit()),
        ("submitted", Status.WAITING, False, Submit()),
        ("submitted", Status.NEEDS_HUMAN, False, Submit()),
        ("running", Status.WAITING, False, Close("lost", "its process is nowhere to be found")),
        ("submitted", Status.CANCELLING, False, Close("cancelled", "cancelled before it started")),
        ("submitted", Status.WAITING, True, Close("cancelled", "cancelled before it started")),
        ("running", Status.CANCELLING, False, Close("cancelled", "cancelled before it started")),
    ],
)
def test_an_attempt_of_which_nothing_is_there(attempt: str, run: Status, cancelling: bool, expected: Action) -> None:
    claimed = attempt == "running"
    seen = decided(Phase.ABSENT, attempt=attempt, run=run, cancelling=cancelling, claimed=claimed, reported=False)
    assert seen == expected


def test_what_was_claimed_and_is_gone_is_not_submitted_a_second_time() -> None:
    lost = Close("lost", "its process is nowhere to be found")

    assert decided(Phase.ABSENT, attempt="submitted", claimed=True, reported=False) == lost


# --- Alive ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING])
@pytest.mark.parametrize("attempt", ["submitted", "running"])
@pytest.mark.parametrize("tended", [True, False])
def test_what_is_not_wanted_is_cancelled_again_and_again(phase: Phase, attempt: str, tended: bool) -> None:
    assert decided(phase, attempt=attempt, run=Status.CANCELLING, tended=tended) == Cancel()
    assert decided(phase, attempt=attempt, cancelling=True, tended=tended) == Cancel()


@pytest.mark.parametrize(
    ("phase", "attempt", "tended", "claimed", "expected"),
    [
        (Phase.STARTING, "submitted", True, False, Nothing()),
        (Phase.STARTING, "submitted", True, True, Nothing()),
        (Phase.STARTING, "submitted", False, False, Submit()),
        (Phase.RUNNING, "submitted", True, True, Started()),
        (Phase.RUNNING, "submitted", True, False, Nothing()),
        (Phase.RUNNING, "submitted", False, True, Submit()),
        (Phase.RUNNING, "running", True, True, Nothing()),
        (Phase.RUNNING, "running", False, True, Submit()),
    ],
)
def test_what_lives_is_tended_and_told_of_once(
    phase: Phase, attempt: str, tended: bool, claimed: bool, expected: Action
) -> None:
    assert decided(phase, attempt=attempt, tended=tended, claimed=claimed, reported=False) == expected


@pytest.mark.parametrize("attempt", ["submitted", "running"])
def test_what_waits_in_a_queue_after_it_was_claimed_is_lost(attempt: str) -> None:
    """As after a controller that did not look while Kueue stopped it: no other pod would run its program."""
    lost = Close("lost", "it was stopped after it had begun, and put back into its queue")

    def queued(claimed: bool, **wish: bool) -> Action:
        return decided(Phase.STARTING, attempt=attempt, claimed=claimed, reported=False, stage=Stage.QUEUED, **wish)

    assert queued(claimed=True) == lost
    assert queued(claimed=False) == Nothing()
    assert queued(claimed=True, cancelling=True) == Cancel()


# --- Over -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "heard", "expected"),
    [
        (Status.WAITING, 5.0, Nothing()),
        (Status.WAITING, 600.0, Close("succeeded", "exit code 0")),
        (Status.WAITING, None, Close("succeeded", "exit code 0")),
        (Status.CANCELLING, 5.0, Close("succeeded", "exit code 0")),
    ],
)
def test_a_sidecar_that_speaks_may_take_its_time_with_large_outputs(
    run: Status, heard: float | None, expected: Action
) -> None:
    now = ENDED + 10 * FINISH_SECONDS
    spoke = None if heard is None else now - heard
    exit = exit_record(0, finished=ENDED)
    assert decided(Phase.FINISHED, exit=exit, run=run, reported=False, heard=spoke, now=now) == expected


@pytest.mark.parametrize("exit", [exit_record(0, terminated=True), exit_record(143, "signalled", terminated=True)])
@pytest.mark.parametrize(("run", "outcome"), [(Status.WAITING, "lost"), (Status.CANCELLING, "cancelled")])
def test_what_was_told_to_end_from_outside_is_not_the_programs_doing(exit: Any, run: Status, outcome: str) -> None:
    action = decided(Phase.FINISHED, exit=exit, run=run)
    assert isinstance(action, Close)
    assert action.outcome == outcome


@pytest.mark.parametrize(
    ("exit", "expected"),
    [
        (exit_record(0), Close("succeeded", "exit code 0")),
        (exit_record(1), Close("failed", "exit code 1")),
        (exit_record(137, "signalled", signal=9), Close("failed", "signal 9: it was killed from outside, or by ")),
        (exit_record(143, "deadline", signal=15), Close("failed", "deadline: it ran longer than its deadline")),
        (exit_record(0, "deadline"), Close("failed", "deadline: it ran longer than its deadline")),
        (exit_record(127, "start_failed"), Close("failed", "its command could not be started (exit code 127)")),
        (exit_record(143, "cancelled", signal=15), Close("cancelled", "cancelled")),
        (exit_record(0, "cancelled"), Close("cancelled", "cancelled")),
        (exit_record(None, "shim_lost"), Close("lost", "shim_lost")),
        (exit_record(None, "not_claimed"), Close("lost", "not_claimed")),
    ],
)
@pytest.mark.parametrize("run", [Status.WAITING, Status.CANCELLING])
def test_how_it_ended_follows_from_its_exit_record(exit: Any, expected: Close, run: Status) -> None:
    action = decided(Phase.FINISHED, exit=exit, run=run)

    assert isinstance(action, Close)
    assert action.outcome == expected.outcome
    assert action.reason.startswith(expected.reason)


@pytest.mark.parametrize(
    ("reported", "seconds_since", "tended", "expected"),
    [
        (False, 1.0, True, Nothing()),
        (False, 1.0, False, Submit()),
        (False, 59.9, True, Nothing()),
        (False, 60.0, True, Close("succeeded", "exit code 0")),
        (False, 60.0, False, Close("succeeded", "exit code 0")),
        (True, 0.0, True, Close("succeeded", "exit code 0")),
        (True, 0.0, False, Close("succeeded", "exit code 0")),
    ],
)
def test_the_log_is_waited_for_but_not_for_ever(
    reported: bool, seconds_since: float, tended: bool, expected: Action
) -> None:
    now = ENDED + seconds_since

    assert decided(Phase.FINISHED, exit=exit_record(0), reported=reported, tended=tended, now=now) == expected


@pytest.mark.parametrize("run", [Status.WAITING, Status.CANCELLING])
@pytest.mark.parametrize("attempt", ["submitted", "running"])
@pytest.mark.parametrize(
    ("reason", "said"), [("the node is gone", "the node is gone"), ("", "its process is gone without a word")]
)
def test_what_is_lost_is_closed_as_lost(run: Status, attempt: str, reason: str, said: str) -> None:
    assert decided(Phase.LOST, run=run, attempt=attempt, reason=reason, reported=False) == Close("lost", said)


def test_every_phase_has_a_verdict() -> None:
    for phase in Phase:
        assert decided(phase, exit=exit_record(0)) is not None


@pytest.mark.parametrize(
    ("tended", "reported", "now", "expected"),
    [
        (True, False, ENDED + 1, Nothing()),
        (False, False, ENDED + 1, Submit()),
        (True, True, ENDED + 1, Close("lost", "shim_lost")),
        (True, False, ENDED + FINISH_SECONDS + 1, Close("lost", "shim_lost")),
    ],
)
def test_what_a_lost_attempt_wrote_is_waited_for(tended: bool, reported: bool, now: float, expected: Action) -> None:
    ended = exit_record(None, "shim_lost", finished=ENDED)

    assert decided(Phase.LOST, exit=ended, tended=tended, reported=reported, now=now) == expected


# --- With a diagnosis -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_retriable", [True, False])
@pytest.mark.parametrize(
    ("phase", "exit"),
    [
        (Phase.STARTING, None),
        (Phase.RUNNING, None),
        (Phase.LOST, None),
        (Phase.LOST, exit_record(None, "shim_lost")),
        (Phase.FINISHED, exit_record(None, "not_claimed")),
        (Phase.FINISHED, exit_record(137, "signalled", signal=9)),
    ],
)
def test_a_final_diagnosis_says_how_it_ended(phase: Phase, exit: Any, is_retriable: bool) -> None:
    found = diagnosis_of(is_retriable=is_retriable)

    expected = Close("lost" if is_retriable else "failed", "there is no such image", found)
    assert decided(phase, exit=exit, diagnosis=found) == expected


def test_what_was_cancelled_is_cancelled_whatever_is_wrong_with_it() -> None:
    ended = exit_record(143, "cancelled", signal=15)

    assert decided(Phase.FINISHED, exit=ended, diagnosis=diagnosis_of()) == Close("cancelled", "cancelled")


def test_a_program_that_ended_well_because_it_was_told_to_end_has_not_succeeded() -> None:
    preempted = diagnosis_of(is_retriable=True)

    action = decided(Phase.FINISHED, exit=exit_record(0), diagnosis=preempted)

    assert action == Close("lost", "there is no such image", preempted)


@pytest.mark.parametrize(("seconds_since", "is_closed"), [(59.0, False), (61.0, True)])
def test_as_long_as_its_runner_speaks_an_attempt_lives(seconds_since: float, is_closed: bool) -> None:
    found = diagnosis_of(is_retriable=True)

    action = decided(Phase.RUNNING, diagnosis=found, heard=ENDED - seconds_since, now=ENDED)

    assert isinstance(action, Close) is is_closed


@pytest.mark.parametrize(("tended", "expected"), [(True, Nothing()), (False, Submit())])
def test_what_may_still_mend_itself_is_waited_for(tended: bool, expected: Action) -> None:
    waits = diagnosis_of(is_final=False)

    assert decided(Phase.STARTING, attempt="submitted", tended=tended, diagnosis=waits) == expected


def test_what_nobody_wants_any_more_is_cancelled_whatever_is_wrong_with_it() -> None:
    assert decided(Phase.STARTING, run=Status.CANCELLING, diagnosis=diagnosis_of()) == Cancel()
