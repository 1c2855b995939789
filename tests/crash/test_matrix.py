"""The kill matrix: every service dies at every place where it has just written something.

Each cell is one story. Whatever the cell, the story has to end well (see `story.went_well`).
"""

import pytest

from services.worker.tools import TOOLS
from tests.crash import story
from tests.crash.conftest import FleetMaker
from tests.crash.plan import Fault

WORKER = [
    "worker.claimed",
    "worker.reserved",
    "worker.model_requested",
    "worker.model_replied",
    "worker.reply_recorded",
    "worker.tool_begun",
    *(f"worker.tool_done.{name}" for name in TOOLS if name not in {"cancel_step"}),
    "worker.tool_recorded",
]
CONTROLLER = [
    "executor.made",
    "executor.laid",
    "executor.shim_spawned",
    "executor.sidecar_spawned",
    "controller.submitted",
    "controller.closed",
]
RUNNER = [
    "runner.claimed",
    "runner.granted",
    "runner.before_put",
    "runner.after_put",
    "runner.before_finish",
    "runner.after_finish",
]
API = [
    "api.attempt_claimed",
    "api.segment_written",
    "api.log_appended",
    "api.output_recorded",
    "api.finish_recorded",
]
BY_SERVICE = {"worker": WORKER, "controller": CONTROLLER, "runner": RUNNER, "api": API}


def cells() -> list[Fault]:
    return [Fault(service, point) for service, points in BY_SERVICE.items() for point in points]


@pytest.mark.parametrize("fault", cells(), ids=str)
def test_a_story_ends_well_whoever_dies_where(fleet_of: FleetMaker, fault: Fault) -> None:
    fleet = fleet_of(fault)
    run = story.begin(fleet)
    fleet.until(story.ended(fleet, run), message=f"the run ends after {fault}")
    assert fleet.plan.has_happened(fault), f"{fault} never happened"
    story.went_well(fleet, run)
