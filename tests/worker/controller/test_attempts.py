"""The controller makes the world as the runs want it and tells the runs what the world did, repeatably."""

import time
from dataclasses import replace
from typing import Any

import pytest

from services.core import events as ev
from services.core.errors import CohortError, StoreUnavailable
from services.core.keys import run_of_attempt
from services.core.lifecycle import Reason, Status
from services.core.pool_states import PoolState, PoolStates
from services.core.records import Diagnosis, Limits, RunState, Stage, Wait
from services.core.store import RunStore
from services.core.taxonomy import Failure, Owner
from services.core.tokens import BadToken, check
from services.worker.executors import Phase, Room
from tests.worker.controller.cloud import exit_record
from tests.worker.controller.conftest import Control, go_round
from tests.worker.test_versions import make_newer


def finish(control: Control, attempt: str, exit_code: int = 0, **fields: object) -> None:
    """The attempt's program ends and its runner reports."""
    control.report(attempt, exit_code=exit_code)
    control.cloud.set(attempt, Phase.FINISHED, exit_record(exit_code, **fields))


def lose(control: Control, attempt: str) -> None:
    control.cloud.set(attempt, Phase.LOST, reason="the node is gone")


def stages(control: Control, attempt: str) -> list[tuple[str, str]]:
    """What the run was told of where the attempt stands."""
    data = [event.data for event in control.store.events(run_of_attempt(attempt))]
    return [(one.stage, one.detail) for one in data if isinstance(one, ev.AttemptProgressed)]


# --- Submitting -------------------------------------------------------------------------------------------------------


def test_a_wanted_attempt_is_submitted_with_all_it_needs(control: Control) -> None:
    run = control.accept()
    data = control.submit(run, "data")
    control.attempts.claim(data, "pod")
    finish(control, data)
    go_round(control.reconciler)
    control.write(
        run,
        ev.StepSubmitted(
            step="train",
            attempt=f"{run}-train-1",
            number=1,
            command="python train.py",
            snapshot="0" * 64,
            uses=["data"],
            env={"SEED": "1"},
            deadline_seconds=60.0,
            memory_bytes=2**30,
        ),
    )

    go_round(control.reconciler)

    spec = control.cloud.submitted[-1]
    assert (spec.attempt, spec.run, spec.step, spec.number, spec.tenant) == (f"{run}-train-1", run, "train", 1, "acme")
    assert (spec.env, spec.memory_bytes) == ({"SEED": "1"}, 2**30)
    assert spec.command == ("sh", "-c", "trap exit TERM; python train.py")
    assert (spec.deadline_seconds, spec.grace_seconds, spec.api_url) == (60.0, 5, "http://api.example")
    assert spec.inputs == {"data": ()}
    check("s", spec.attempt, spec.token.get_secret_value())
    with pytest.raises(BadToken):
        check("s", data, spec.token.get_secret_value())


def test_an_attempt_that_is_there_is_not_submitted_again(control: Control) -> None:
    attempt = control.submit()

    for _ in range(3):
        go_round(control.reconciler)

    assert [spec.attempt for spec in control.cloud.submitted] == [attempt]


def test_one_that_nobody_tends_is_handed_over_again(control: Control) -> None:
    attempt = control.submit()
    control.cloud.set(attempt, Phase.RUNNING, tended=False)

    go_round(control.reconciler)

    assert [spec.attempt for spec in control.cloud.submitted] == [attempt]


def test_what_goes_wrong_with_one_keeps_no_other_waiting(control: Control) -> None:
    attempts = [control.submit() for _ in range(4)]
    control.cloud.broken = {
        attempts[0]: OSError("disk full"),
        attempts[1]: CohortError("refused"),
        attempts[2]: KeyError("a bug"),
    }

    go_round(control.reconciler)

    assert [spec.attempt for spec in control.cloud.submitted] == [attempts[3]]


def test_a_store_that_is_away_stops_the_round(control: Control) -> None:
    attempt = control.submit()
    control.cloud.broken = {attempt: StoreUnavailable("away")}

    with pytest.raises(StoreUnavailable):
        go_round(control.reconciler)


# --- Starting ---------------------------------------------------------------------------------------------------------


def test_a_start_is_told_once_it_is_claimed(control: Control) -> None:
    attempt = control.submit()
    run = attempt.split("-")[0]
    control.cloud.set(attempt, Phase.RUNNING)
    go_round(control.reconciler)
    assert "attempt_started" not in control.kinds(run)

    control.attempts.claim(attempt, "pod")
    for _ in range(3):
        go_round(control.reconciler)

    assert control.kinds(run).count("attempt_started") == 1
    assert control.store.state(run).steps["train"].last.status == "running"
    assert control.cloud.submitted == []


# --- On the way -------------------------------------------------------------------------------------------------------


def test_the_run_is_told_of_each_stage_once(control: Control) -> None:
    attempt = control.submit()
    full = "0/4 nodes: insufficient nvidia.com/gpu"
    for stage, detail in [(Stage.SCHEDULING, full), (Stage.SCHEDULING, full), (Stage.PULLING, "train:1")]:
        control.cloud.set(attempt, Phase.STARTING, stage=stage, detail=detail)
        go_round(control.reconciler)

    assert stages(control, attempt) == [("scheduling", full), ("pulling", "train:1")]
    last = control.store.state(run_of_attempt(attempt)).steps["train"].last
    assert (last.stage, last.detail, last.status) == (Stage.PULLING, "train:1", "submitted")


def test_a_stage_that_comes_again_is_told_again(control: Control) -> None:
    attempt = control.submit()
    for stage in (Stage.QUEUED, Stage.ADMITTED, Stage.QUEUED):
        control.cloud.set(attempt, Phase.STARTING, stage=stage)
        go_round(control.reconciler)

    assert [stage for stage, _ in stages(control, attempt)] == ["queued", "admitted", "queued"]


def test_a_diagnosis_is_kept_with_the_attempt_it_ended(control: Control) -> None:
    attempt = control.submit()
    found = Diagnosis(failure=Failure.IMAGE_PULL, owner=Owner.CODE, code="image_not_found", summary="no such image")
    control.cloud.set(attempt, Phase.STARTING, stage=Stage.PULLING, diagnosis=found)

    go_round(control.reconciler)

    last = control.store.state(run_of_attempt(attempt)).steps["train"].last
    assert (last.status, last.reason, last.diagnosis, last.stage) == ("failed", "no such image", found, None)
    assert (last.cost_usd, control.cloud.cancelled) == (0, [attempt])


def test_a_diagnosis_that_is_the_platforms_business_is_not_told_to_the_agent(control: Control) -> None:
    attempt = control.submit()
    found = Diagnosis(
        failure=Failure.STOPPED, owner=Owner.PLATFORM, code="preempted", summary="preempted", is_retriable=True
    )
    control.cloud.set(attempt, Phase.LOST, diagnosis=found)

    go_round(control.reconciler)

    first, second = control.store.state(run_of_attempt(attempt)).steps["train"].attempts
    assert (first.status, first.diagnosis, second.cause) == ("lost", found, "infrastructure")


def test_nothing_is_ended_in_a_world_that_cannot_be_seen(control: Control) -> None:
    attempt = control.submit()
    control.cloud.set(attempt, Phase.UNKNOWN)
    control.cloud.set("r00000000000x-train-1", Phase.UNKNOWN)

    go_round(control.reconciler)

    assert control.store.state(run_of_attempt(attempt)).steps["train"].last.status == "submitted"
    assert (control.cloud.submitted, control.cloud.cancelled) == ([], [])


# --- Closing ----------------------------------------------------------------------------------------------------------


def test_an_end_is_told_with_its_cost_and_wakes_the_run(control: Control) -> None:
    run = control.accept()
    attempt = control.submit(run)
    control.move(run, Status.WAITING, reason=Reason.WAITING_FOR_STEPS)
    control.write(run, ev.Parked(wait=Wait(kind="steps", steps=("train",))))
    control.attempts.claim(attempt, "pod")
    finish(control, attempt, bytes=0, peaks={"rss_bytes": 7})

    go_round(control.reconciler)

    state = control.store.state(run)
    last = state.steps["train"].last
    assert (last.status, last.exit_code, last.reason, last.peak_rss_bytes) == ("succeeded", 0, "exit code 0", 7)
    # 90 seconds at a dollar an hour.
    assert (last.cost_usd, state.spend.microdollars) == (0.025, 25_000)
    assert (state.status, control.hints.heard) == (Status.RUNNING, [run])
    assert control.attempts.live() == []
    assert control.cloud.removed == [attempt]


def test_two_controllers_close_an_attempt_once(control: Control) -> None:
    attempt = control.submit()
    run = attempt.split("-")[0]
    finish(control, attempt, exit_code=1)
    stale = control.store.state(run)

    control.reconciler.reconcile({run: [attempt]})
    slow = replace(control.reconciler, store=Behind(control.store, stale))
    slow.reconcile({run: [attempt]})
    for reconciler in (control.reconciler, slow):
        reconciler.settle()

    assert control.kinds(run).count("attempt_finished") == 1
    assert control.store.state(run).spend.microdollars == 25_000


class Behind:
    """A store whose first look at a run is an old one, as a slow controller's is."""

    def __init__(self, store: RunStore, stale: RunState) -> None:
        self._store, self._stale = store, [stale]

    def state(self, run: str) -> RunState:
        return self._stale.pop() if self._stale else self._store.state(run)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_reservation_is_settled_at_what_the_attempt_cost(control: Control) -> None:
    attempt = control.submit()
    control.ledger.reserve("acme", f"step:{attempt}", 500_000)
    finish(control, attempt)

    go_round(control.reconciler)

    assert control.ledger.account("acme")[:2] == (25_000, 0)


def test_a_finish_report_that_is_late_is_waited_for(control: Control) -> None:
    attempt = control.submit()
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0, finished=time.time()))
    go_round(control.reconciler)
    assert control.attempts.live() == [attempt]

    control.report(attempt)
    go_round(control.reconciler)

    assert control.attempts.live() == []


def test_one_that_never_comes_leaves_a_gap_on_record(control: Control) -> None:
    attempt = control.submit()
    run = attempt.split("-")[0]
    control.logs.append(attempt, 0, b"12345")
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0, bytes=12), tended=False)

    go_round(control.reconciler)

    last = control.store.state(run).steps["train"].last
    assert (last.status, last.log_bytes, last.log_complete, last.gap_bytes) == ("succeeded", 5, False, 7)
    # Its spool may be the only whole copy of the log.
    assert control.cloud.removed == []


def test_outputs_are_what_the_report_says(control: Control) -> None:
    attempt = control.submit()
    run = attempt.split("-")[0]
    control.report(attempt, outputs=[{"path": "model.pkl", "sha256": "a" * 64, "size": 3}])
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0))

    go_round(control.reconciler)

    assert [file.path for file in control.store.state(run).steps["train"].last.outputs] == ["model.pkl"]


# --- Losing -----------------------------------------------------------------------------------------------------------


def test_a_lost_attempt_is_tried_again_without_a_word_to_the_agent(control: Control) -> None:
    run = control.accept()
    attempt = control.submit(run)
    control.move(run, Status.WAITING, reason=Reason.WAITING_FOR_STEPS)
    control.write(run, ev.Parked(wait=Wait(kind="steps", steps=("train",))))
    lose(control, attempt)

    go_round(control.reconciler)

    state = control.store.state(run)
    assert state.status is Status.WAITING
    assert [(one.number, one.status, one.cause) for one in state.steps["train"].attempts] == [
        (1, "lost", "agent"),
        (2, "submitted", "infrastructure"),
    ]
    assert control.hints.heard == []
    assert state.steps["train"].last.command == "python train.py"


def test_after_three_retries_the_loss_is_the_agents_to_know(control: Control) -> None:
    run = control.accept()
    control.submit(run)
    control.move(run, Status.WAITING, reason=Reason.WAITING_FOR_STEPS)
    control.write(run, ev.Parked(wait=Wait(kind="steps", steps=("train",))))

    for _ in range(4):
        [live] = control.attempts.live()
        lose(control, live)
        go_round(control.reconciler)

    state = control.store.state(run)
    assert [one.status for one in state.steps["train"].attempts] == ["lost"] * 4
    assert (state.status, control.hints.heard) == (Status.RUNNING, [run])
    assert state.exhausted_step() is None


def test_an_agent_that_submits_again_gets_the_platforms_retries_again(control: Control) -> None:
    run = control.accept()
    control.submit(run)
    for _ in range(4):
        lose(control, control.attempts.live()[0])
        go_round(control.reconciler)
    control.submit(run, number=5)
    lose(control, f"{run}-train-5")

    go_round(control.reconciler)

    assert control.store.state(run).steps["train"].last.cause == "infrastructure"


def test_a_loss_nobody_minds_is_not_tried_again(control: Control) -> None:
    run = control.accept()
    attempt = control.submit(run)
    control.move(run, Status.CANCELLING, reason=Reason.CANCELLED_BY_USER)
    lose(control, attempt)

    go_round(control.reconciler)

    assert [one.status for one in control.store.state(run).steps["train"].attempts] == ["lost"]
    assert control.hints.heard == [run]


def test_a_retry_reserves_its_money(control: Control) -> None:
    run = control.accept(limits=Limits(dollars=1.0))
    lose(control, control.submit(run))

    go_round(control.reconciler)

    # A minute at a dollar an hour.
    assert control.store.state(run).spend.reserved_microdollars == 16_667
    assert control.ledger.account("acme")[1] == 16_667


@pytest.mark.parametrize("who", ["run", "tenant"])
def test_a_retry_that_cannot_be_paid_is_the_agents_to_know(control: Control, who: str) -> None:
    run = control.accept(limits=Limits(dollars=0.001) if who == "run" else Limits())
    if who == "tenant":
        control.ledger.set_cap("acme", 0.001)
    lose(control, control.submit(run))

    go_round(control.reconciler)

    assert [one.status for one in control.store.state(run).steps["train"].attempts] == ["lost"]
    assert control.hints.heard == [run]


def test_a_lost_attempt_is_tried_again_from_the_checkpoint_it_left(control: Control) -> None:
    run = control.accept()
    attempt = control.submit(run)
    control.attempts.add_checkpoint(attempt, 3, "c3")
    lose(control, attempt)

    go_round(control.reconciler)
    go_round(control.reconciler)

    lost, again = control.store.state(run).steps["train"].attempts
    assert (lost.checkpoint, again.restores) == ("c3", "c3")
    assert [spec.restores for spec in control.cloud.submitted] == ["c3"]


# --- Cancelling -------------------------------------------------------------------------------------------------------


def test_a_cancelled_step_is_cancelled_and_then_closed(control: Control) -> None:
    run = control.accept()
    attempt = control.submit(run)
    control.cloud.set(attempt, Phase.RUNNING)
    control.write(run, ev.StepCancelRequested(step="train"))
    go_round(control.reconciler)
    assert control.cloud.cancelled == [attempt]

    control.report(attempt, exit_code=143, reason="cancelled")
    control.cloud.set(attempt, Phase.FINISHED, exit_record(143, "cancelled", signal=15))
    go_round(control.reconciler)

    last = control.store.state(run).steps["train"].last
    assert (last.status, last.exit_code) == ("cancelled", 143)


def test_an_attempt_of_a_cancelled_run_that_never_started_is_closed(control: Control) -> None:
    run = control.accept()
    attempt = control.submit(run)
    control.move(run, Status.CANCELLING, reason=Reason.CANCELLED_BY_USER)

    go_round(control.reconciler)

    assert control.store.state(run).steps["train"].last.status == "cancelled"
    assert (control.cloud.submitted, control.hints.heard) == ([], [run])
    assert attempt not in control.attempts.live()


# --- Tidying ----------------------------------------------------------------------------------------------------------


def test_what_the_cloud_runs_for_nobody_is_ended(control: Control) -> None:
    control.cloud.set("r00000000gone-train-1", Phase.RUNNING)

    go_round(control.reconciler)

    assert control.cloud.cancelled == ["r00000000gone-train-1"]


def test_what_is_still_shipping_is_forgotten_later(control: Control) -> None:
    attempt = control.submit()
    finish(control, attempt)
    control.cloud.busy = {attempt}
    go_round(control.reconciler)
    assert control.cloud.removed == []

    control.cloud.busy = set()
    go_round(control.reconciler)

    assert control.cloud.removed == [attempt]


# --- What the pools hold ----------------------------------------------------------------------------------------------


def test_each_round_tells_what_the_pools_hold(control: Control) -> None:
    running, _ = control.submit(), control.submit()
    control.attempts.claim(running, "pod")
    control.cloud.set(running, Phase.RUNNING)
    control.cloud.has_room = [Room(name="local", nodes=3, cores=24.0)]

    for _ in range(2):
        go_round(control.reconciler)

    published = PoolStates(control.store.client).newest()
    assert published is not None
    assert published.pools == (PoolState(name="local", nodes=3, cores=24.0, running=1, queued=1),)


def test_a_pool_that_cannot_be_read_keeps_nobody_waiting(control: Control) -> None:
    control.cloud.has_room = [None]  # type: ignore[list-item]
    attempt = control.submit()

    go_round(control.reconciler)

    assert [spec.attempt for spec in control.cloud.submitted] == [attempt]


# --- Upgrades ---------------------------------------------------------------------------------------------------------


def test_a_run_of_a_newer_version_keeps_no_other_waiting_and_loses_nothing(control: Control) -> None:
    newer, other = control.submit(), control.submit()
    control.cloud.set(newer, Phase.RUNNING)
    make_newer(control.store, run_of_attempt(newer))
    go_round(control.reconciler)
    assert [name for name in control.cloud.list() if name == other]
    assert control.cloud.inspect(newer).phase is Phase.RUNNING
    assert control.attempts.is_live(newer)
