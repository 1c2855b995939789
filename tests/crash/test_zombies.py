"""Processes that sleep through their lease and wake up when somebody else has long done their work."""

import pytest

from services.core.errors import Fenced
from services.core.store import Draft, Lease, Refused
from tests.crash import story
from tests.crash.conftest import FleetMaker
from tests.crash.plan import Deed, Fault

WORKER = [
    "worker.claimed",
    "worker.reserved",
    "worker.model_requested",
    "worker.model_replied",
    "worker.reply_recorded",
    "worker.tool_begun",
    "worker.command_placed",
    "worker.command_started",
    "worker.tool_done.edit",
    "worker.tool_done.submit_step",
    "worker.tool_done.finish",
]
ALWAYS = {"worker.claimed", "worker.model_replied", "worker.command_placed"}
CONTROLLER = ["controller.swept", "controller.submitted", "controller.closed", "controller.forgotten"]


def rows(points: list[str]) -> list[object]:
    return [point if point in ALWAYS else pytest.param(point, marks=pytest.mark.crash) for point in points]


@pytest.mark.parametrize("point", rows(WORKER))
def test_a_worker_that_wakes_after_its_lease_writes_nothing(fleet_of: FleetMaker, point: str) -> None:
    fault = Fault("worker", point, deed=Deed.STOP)
    fleet = fleet_of(fault)
    run = story.begin(fleet)
    fleet.until(lambda: fleet.plan.has_happened(fault))
    zombie = fleet.service_of(fleet.plan.culprit(fault))
    fleet.until(story.ended(fleet, run))
    seq = fleet.store.last_seq(run)

    fleet.resume(zombie)

    fleet.until(lambda: "slice_fenced" in fleet.log_of(zombie))
    fleet.until(story.ended(fleet, run))
    assert fleet.store.last_seq(run) == seq
    story.went_well(fleet, run)


@pytest.mark.crash
@pytest.mark.parametrize("point", CONTROLLER)
def test_a_controller_that_wakes_after_its_lease_spoils_nothing(fleet_of: FleetMaker, point: str) -> None:
    fault = Fault("controller", point, deed=Deed.STOP)
    fleet = fleet_of(fault, services=("api", "controller-1", "controller-2", "worker-1"))
    run = story.begin(fleet)
    fleet.until(lambda: fleet.plan.has_happened(fault))
    fleet.until(lambda: fleet.store.state(run).status.is_final)
    zombie = fleet.service_of(fleet.plan.culprit(fault))
    fleet.resume(zombie)
    again = story.begin(fleet)
    fleet.until(story.ended(fleet, run, again))
    story.went_well(fleet, run, again)


def test_of_two_that_are_told_at_once_one_wins_and_the_other_is_refused(fleet_of: FleetMaker) -> None:
    fault = Fault("worker", "worker.claimed", deed=Deed.STOP)
    fleet = fleet_of(fault, services=("api", "controller", "worker-1"))
    run = story.begin(fleet)
    fleet.until(lambda: fleet.plan.has_happened(fault))

    refused = fleet.store.claim(run, "somebody else", 1.0)
    assert isinstance(refused, Refused)
    assert refused.why == "busy"

    lease = fleet.until(lambda: claimed(fleet.store.claim(run, "a successor", 1.0)))
    with pytest.raises(Fenced):
        fleet.store.append(Lease(run, lease.generation - 1), fleet.store.state(run), Draft(()))
    fleet.resume("worker-1")
    fleet.until(story.ended(fleet, run))
    story.went_well(fleet, run)


def claimed(answer: Lease | Refused) -> Lease | None:
    return answer if isinstance(answer, Lease) else None
