"""A cancel, whenever it comes, ends the run and every process that works for it."""

from collections.abc import Callable

import pytest

from services.core import events as ev
from tests.crash import story
from tests.crash.conftest import FleetMaker
from tests.crash.fleet import Fleet
from tests.crash.pipeline import Pipeline

Moment = Callable[[Fleet, str], bool]


def runs_commands(fleet: Fleet, run: str) -> bool:
    return sum(isinstance(event, ev.ToolStateChange) for event in story.events_of(fleet, run)) == 2


def asks_the_model(fleet: Fleet, run: str) -> bool:
    return any(isinstance(event, ev.LlmRequest) for event in story.events_of(fleet, run))


def has_submitted_a_step(fleet: Fleet, run: str) -> bool:
    return any(isinstance(event, ev.StepSubmitted) for event in story.events_of(fleet, run))


def is_asking(fleet: Fleet, run: str) -> bool:
    return any(isinstance(event, ev.Parked) for event in story.events_of(fleet, run))


@pytest.mark.parametrize(
    ("playbook", "moment"),
    [
        ("jotting", runs_commands),
        ("slow", asks_the_model),
        ("story", has_submitted_a_step),
        pytest.param("asking", is_asking, marks=pytest.mark.crash),
    ],
)
def test_a_cancel_leaves_no_process(fleet_of: FleetMaker, playbook: str, moment: Moment) -> None:
    fleet = fleet_of()
    fleet.hold_programs()
    run = story.begin(fleet, playbook)
    pipeline = Pipeline(fleet, f"tenant-{run}")
    fleet.until(lambda: moment(fleet, run))
    pipeline.cancel(run)
    fleet.until(story.ended(fleet, run))
    story.was_cancelled(fleet, run)
    assert not fleet.strays()


@pytest.mark.crash
@pytest.mark.parametrize("victim", ["worker-1", "controller"])
def test_a_cancel_leaves_no_process_when_who_carries_it_out_dies(fleet_of: FleetMaker, victim: str) -> None:
    fleet = fleet_of(services=("api", "controller", "worker-1"))
    fleet.hold_programs()
    run = story.begin(fleet, "jotting")
    pipeline = Pipeline(fleet, f"tenant-{run}")
    fleet.until(lambda: runs_commands(fleet, run))
    fleet.kill(victim)
    pipeline.cancel(run)
    fleet.until(story.ended(fleet, run))
    story.was_cancelled(fleet, run)
    assert not fleet.strays()


@pytest.mark.crash
def test_a_run_that_is_cancelled_before_anybody_took_it_ends(fleet_of: FleetMaker) -> None:
    fleet = fleet_of(services=("api",))
    run = story.begin(fleet)
    Pipeline(fleet, f"tenant-{run}").cancel(run)
    fleet.want("api", "controller", "worker-1")
    fleet.until(story.ended(fleet, run))
    story.was_cancelled(fleet, run)
