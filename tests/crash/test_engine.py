"""Dying in the middle of turns and commands: the engine alone, without steps."""

from tests.crash import story
from tests.crash.conftest import FleetMaker


def test_a_run_that_nobody_disturbs(fleet_of: FleetMaker) -> None:
    fleet = fleet_of(services=("controller", "worker-1"))
    run = story.begin(fleet, "jotting")
    fleet.until(story.ended(fleet, run))
    story.went_well(fleet, run)


def test_a_story_that_nobody_disturbs(fleet_of: FleetMaker) -> None:
    fleet = fleet_of()
    run = story.begin(fleet)
    fleet.until(story.ended(fleet, run))
    story.went_well(fleet, run)
