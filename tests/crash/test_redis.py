"""Redis that stands still: everything waits for it, nothing is lost, nothing happens twice."""

import time
from collections.abc import Callable

import pytest

from services.core import events as ev
from services.core.lifecycle import Status
from tests.crash import story
from tests.crash.conftest import FleetMaker
from tests.crash.fleet import LEASE_SECONDS, Fleet

SHORT_SECONDS = 2.5 * LEASE_SECONDS
LONG_SECONDS = 60.0


def has_a_command(fleet: Fleet, run: str) -> bool:
    return any(isinstance(event, ev.ToolStateChange) for event in story.events_of(fleet, run))


def waits(fleet: Fleet, run: str) -> bool:
    return fleet.store.state(run).status is Status.WAITING


Moment = Callable[[Fleet, str], bool]
MOMENTS: list[Moment] = [has_a_command, waits]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_outlasts_a_stall_of_redis(fleet_of: FleetMaker, moment: Moment) -> None:
    stall(fleet_of(), moment, SHORT_SECONDS)


@pytest.mark.crash
@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_outlasts_a_minute_without_redis(fleet_of: FleetMaker, moment: Moment) -> None:
    stall(fleet_of(), moment, LONG_SECONDS)


def stall(fleet: Fleet, moment: Moment, seconds: float) -> None:
    run = story.begin(fleet)
    fleet.until(lambda: moment(fleet, run))
    fleet.redis.pause()
    # The stall itself is the fault, so here time has to pass.
    time.sleep(seconds)
    fleet.redis.resume()
    fleet.until(story.ended(fleet, run), timeout=120)
    story.went_well(fleet, run)
