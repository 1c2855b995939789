"""A tenant never holds more GPUs than its quota, and what waits for some is told so and goes on by itself."""

from dataclasses import replace

import pytest

from services.core import events as ev
from services.core.gpus import GpuHolds, Shortage
from services.core.keys import run_of_attempt, step_of_attempt
from services.core.lifecycle import Reason, Status
from services.core.pools import GpuQuota, Pool, Pools
from services.core.records import Attempt, Stage, Wait
from services.core.resources import Resources
from services.core.why import why
from services.worker.controller.attempts import Reconciler
from services.worker.controller.quota import shortage_text
from services.worker.executors import Phase
from tests.worker.controller.cloud import exit_record
from tests.worker.controller.conftest import Control, go_round

POOLS = Pools(pools=(Pool(name="gpu", gpus_per_node=8, nodes=4),), quota=GpuQuota(gpus=8, tenants={"free": 0}))


@pytest.fixture
def limited(control: Control) -> Control:
    control.terms = replace(control.terms, pools=POOLS)
    return control


def submit(control: Control, gpus: int, *, nodes: int = 1, run: str = "") -> str:
    return control.submit(run, resources=Resources(gpus=gpus, nodes=nodes), pool="gpu")


def submitted(control: Control) -> list[str]:
    return [spec.attempt for spec in control.cloud.submitted]


def attempt_of(control: Control, attempt: str) -> Attempt:
    return control.store.state(run_of_attempt(attempt)).steps[step_of_attempt(attempt)].last


def end(control: Control, attempt: str, **fields: bool) -> None:
    control.report(attempt)
    control.cloud.set(attempt, Phase.FINISHED, exit_record(), **fields)


def test_what_the_quota_has_no_room_for_waits_and_is_told_so(limited: Control) -> None:
    reconciler = limited.reconciler
    first = submit(limited, 2, nodes=3)
    go_round(reconciler)
    second = submit(limited, 3)
    go_round(reconciler)

    assert submitted(limited) == [first]
    waiting = attempt_of(limited, second)
    assert (waiting.stage, waiting.status) == (Stage.QUEUED, "submitted")
    assert waiting.detail == "GPU quota: the tenant holds 6 of 8, this needs 3"


def test_it_goes_on_by_itself_when_the_cluster_has_the_gpus_back(limited: Control) -> None:
    reconciler = limited.reconciler
    first = submit(limited, 6)
    go_round(reconciler)
    second = submit(limited, 6)
    end(limited, first, lingers=True)
    limited.cloud.busy.add(first)
    for _ in range(2):
        go_round(reconciler)
    assert attempt_of(limited, first).status == "succeeded"
    assert submitted(limited) == [first]

    limited.cloud.set(first, Phase.FINISHED, exit_record())
    limited.cloud.busy.clear()
    for _ in range(2):
        go_round(reconciler)

    assert submitted(limited) == [first, second]
    assert GpuHolds(limited.store.client).held("acme") == {second: 6}


def test_waiting_for_quota_wakes_no_model(limited: Control) -> None:
    reconciler = limited.reconciler
    submit(limited, 8)
    go_round(reconciler)
    run = limited.accept()
    submit(limited, 8, run=run)
    limited.move(run, Status.WAITING, reason=Reason.WAITING_FOR_STEPS)
    limited.write(run, ev.Parked(wait=Wait(kind="steps", steps=("train",))))

    for _ in range(3):
        go_round(reconciler)

    state = limited.store.state(run)
    assert state.status is Status.WAITING
    assert run not in limited.hints.heard
    assert limited.kinds(run).count("attempt_progressed") == 1
    told = why(state, {}, state.updated)
    assert "is queued: it is held back until there is quota or room for it (GPU quota: the tenant holds 8" in told.here
    assert "when others end, or when the quota is raised" in told.next


def test_one_that_is_cancelled_while_it_waits_makes_way_for_the_next(limited: Control) -> None:
    reconciler = limited.reconciler
    first = submit(limited, 5)
    go_round(reconciler)
    second = submit(limited, 8)
    go_round(reconciler)
    third = submit(limited, 3)
    go_round(reconciler)
    assert submitted(limited) == [first]

    limited.write(run_of_attempt(second), ev.StepCancelRequested(step="train"))
    for _ in range(2):
        go_round(reconciler)

    assert attempt_of(limited, second).status == "cancelled"
    assert submitted(limited) == [first, third]


def test_steps_without_gpus_and_installs_without_a_quota_wait_for_nothing(control: Control) -> None:
    unlimited = replace(control.terms, pools=POOLS.model_copy(update={"quota": GpuQuota()}))
    for terms, gpus in ((replace(control.terms, pools=POOLS), 0), (unlimited, 8)):
        control.terms = terms
        attempts = [submit(control, gpus) for _ in range(3)]
        go_round(control.reconciler)
        assert set(attempts) <= set(submitted(control))
    assert GpuHolds(control.store.client).held("acme") == {}


def test_what_ran_before_there_was_a_quota_counts(limited: Control) -> None:
    running = submit(limited, 8)
    limited.cloud.set(running, Phase.RUNNING)
    go_round(limited.reconciler)
    assert GpuHolds(limited.store.client).held("acme") == {running: 8}

    submit(limited, 1)
    go_round(limited.reconciler)

    assert submitted(limited) == []


def test_a_controller_that_comes_after_finds_what_is_held(limited: Control) -> None:
    first = submit(limited, 8)
    go_round(limited.reconciler)
    second = submit(limited, 8)
    go_round(limited.reconciler)
    end(limited, first)

    for _ in range(3):
        go_round(limited.reconciler)

    assert submitted(limited) == [first, second]


def test_a_cluster_that_is_not_seen_gives_nothing_back(limited: Control) -> None:
    reconciler: Reconciler = limited.reconciler
    first = submit(limited, 8)
    go_round(reconciler)
    end(limited, first, lingers=True)
    limited.cloud.busy.add(first)
    go_round(reconciler)
    limited.cloud.set(first, Phase.UNKNOWN)
    go_round(reconciler)
    assert GpuHolds(limited.store.client).held("acme") == {first: 8}


@pytest.mark.parametrize(
    ("shortage", "text"),
    [
        (Shortage(6, 0, is_final=False), "GPU quota: the tenant holds 6 of 8, this needs 4"),
        (Shortage(6, 1, is_final=False), "GPU quota: the tenant holds 6 of 8, this needs 4, and 1 attempt comes first"),
        (Shortage(6, 2, is_final=False), "GPU quota: the tenant holds 6 of 8, this needs 4, and 2 attempts come first"),
    ],
)
def test_the_shortage_in_words(shortage: Shortage, text: str) -> None:
    assert shortage_text(4, 8, shortage) == text


def test_a_quota_that_is_too_small_for_good_says_so() -> None:
    text = "GPU quota: the tenant may hold 2 at once, and this needs 4; raise it or cancel the step"
    assert shortage_text(4, 2, Shortage(0, 0, is_final=True)) == text
