"""The kill matrix: each service dies at each place where it has just written something, once.

Each cell is a whole run. Whatever the cell, the run has to end as it would have without, with every byte, every
dollar and every event in its place (see `story` and `invariants`).
"""

import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

import services
from services.worker.tools import TOOLS
from tests.crash import story
from tests.crash.conftest import FleetMaker
from tests.crash.fleet import Fleet
from tests.crash.plan import Deed, Fault

Scenario = Callable[[Fleet], None]

# Tools that only look at what is outside: the story asks nobody there, and nothing of theirs is left by a death.
OUTSIDE = {name for name, tool in TOOLS.items() if not tool.is_of_a_run} - {"read"}

# What happens in a run, and the boundaries it leads over: service → points.
TABLE: dict[Scenario, dict[str, list[str]]] = {
    story.undisturbed: {
        "worker": [
            "worker.claimed",
            "worker.reserved",
            "worker.model_requested",
            "worker.model_replied",
            "worker.failure_recorded",
            "worker.reply_recorded",
            "worker.settled",
            "worker.tool_begun",
            "worker.command_placed",
            "worker.command_started",
            *(f"worker.tool_done.{name}" for name in TOOLS if name not in {"cancel_step", "ask", *OUTSIDE}),
            "worker.tool_done.report",
            "worker.tool_recorded",
            "worker.tool_intended",
            "worker.research_made",
            "worker.research_told",
            "worker.parked",
        ],
        "controller": [
            "controller.swept",
            "executor.made",
            "executor.laid",
            "executor.shim_spawned",
            "executor.sidecar_spawned",
            "controller.submitted",
            "controller.closed",
            "controller.settled",
            "controller.forgotten",
            "controller.log_compacted",
            "controller.research_told",
            "controller.archive_written",
        ],
        "runner": [
            "runner.claimed",
            "runner.granted",
            "runner.before_put",
            "runner.after_put",
            "runner.checkpoint_kept",
            "runner.before_finish",
            "runner.after_finish",
        ],
        "api": [
            "api.attempt_claimed",
            "api.segment_written",
            "api.log_appended",
            "api.checkpoint_recorded",
            "api.output_recorded",
            "api.finish_recorded",
        ],
    },
    story.submitted: {"api": ["api.run_created"]},
    story.spoken_to: {"api": ["api.message_recorded"], "controller": ["controller.started"]},
    story.answered: {"worker": ["worker.tool_done.ask"]},
    story.cancelled: {
        "api": ["api.cancel_recorded"],
        "worker": ["worker.cleared", "worker.ended"],
        "controller": ["controller.cancel_sent", "controller.closed"],
        "runner": ["runner.before_finish"],
    },
    story.lost: {"controller": ["controller.retry_reserved", "controller.closed"]},
}
CELLS = [
    (scenario, Fault(service, point))
    for scenario, points in TABLE.items()
    for service, names in points.items()
    for point in names
]
# The cells that every `make test` runs: one for each kind of thing that may be half done.
ALWAYS = {
    "worker.reserved",
    "worker.model_replied",
    "worker.reply_recorded",
    "worker.command_started",
    "worker.tool_done.bash",
    "worker.tool_done.finish",
    "worker.tool_done.report",
    "worker.tool_intended",
    "executor.shim_spawned",
    "controller.closed",
    "runner.after_put",
    "api.segment_written",
    "api.run_created",
}
# How often a worker at least writes to the log in an undisturbed story.
APPENDS = 48


def name_of(value: Scenario | Fault) -> str:
    return str(value) if isinstance(value, Fault) else value.__name__


def cells(*, always: bool) -> list[tuple[Scenario, Fault]]:
    return [cell for cell in CELLS if (cell[1].point in ALWAYS) == always]


def play(fleet_of: FleetMaker, scenario: Scenario, *faults: Fault) -> None:
    fleet = fleet_of(*faults)
    scenario(fleet)
    missing = [str(fault) for fault in faults if not fleet.plan.has_happened(fault)]
    assert not missing, f"never happened: {missing}"


@pytest.mark.parametrize(("scenario", "fault"), cells(always=True), ids=name_of)
def test_a_run_ends_well_whoever_dies_where(fleet_of: FleetMaker, scenario: Scenario, fault: Fault) -> None:
    play(fleet_of, scenario, fault)


@pytest.mark.crash
@pytest.mark.parametrize(("scenario", "fault"), cells(always=False), ids=name_of)
def test_a_run_ends_well_whoever_dies_where_in_full(fleet_of: FleetMaker, scenario: Scenario, fault: Fault) -> None:
    play(fleet_of, scenario, fault)


@pytest.mark.crash
@pytest.mark.parametrize(("scenario", "fault"), CELLS, ids=name_of)
def test_a_run_ends_well_where_redis_dies_with_whatever_was_just_written(
    fleet_of: FleetMaker, scenario: Scenario, fault: Fault
) -> None:
    play(fleet_of, scenario, Fault(fault.service, fault.point, deed=Deed.KILL_REDIS))


@pytest.mark.crash
@pytest.mark.parametrize("nth", range(1, APPENDS + 1))
@pytest.mark.parametrize("deed", [Deed.KILL, Deed.KILL_REDIS])
def test_a_run_ends_well_whichever_event_was_the_last(fleet_of: FleetMaker, nth: int, deed: Deed) -> None:
    play(fleet_of, story.undisturbed, Fault("worker", "store.appended", nth, deed))


@pytest.mark.crash
def test_a_worker_that_dies_settling_what_another_left_is_settled_too(fleet_of: FleetMaker) -> None:
    play(
        fleet_of, story.undisturbed, Fault("worker", "worker.model_replied"), Fault("worker", "worker.unknown_recorded")
    )


# Boundaries that no run on this machine leads over → where something dies at them.
ELSEWHERE = {
    "executor.job_created": "tests/cluster/test_control.py",
    "executor.secret_created": "tests/cluster/test_control.py",
    "executor.service_created": "tests/cluster/test_control.py",
    "api.command_taken": "tests/worker/shells/test_sandbox_deaths.py",
    "api.outcome_recorded": "tests/worker/shells/test_sandbox_deaths.py",
    "runner.command_laid": "tests/worker/shells/test_sandbox_deaths.py",
    "runner.command_marked": "tests/worker/shells/test_sandbox_deaths.py",
    "runner.command_given": "tests/worker/shells/test_sandbox_deaths.py",
    "runner.before_outcome": "tests/worker/shells/test_sandbox_deaths.py",
    "runner.after_outcome": "tests/worker/shells/test_sandbox_deaths.py",
    "keeping.archive_completed": "tests/keeping/test_deaths.py",
    "keeping.forgetting": "tests/keeping/test_deaths.py",
    "keeping.marked": "tests/keeping/test_deaths.py",
    "keeping.run_forgotten": "tests/keeping/test_deaths.py",
    "keeping.run_pruned": "tests/keeping/test_deaths.py",
    "keeping.run_restored": "tests/keeping/test_restore.py",
    "keeping.spent_restored": "tests/keeping/test_restore.py",
    "worker.command_queued": "tests/worker/shells/test_sandbox_deaths.py",
    "worker.sandbox_reserved": "tests/worker/shells/test_sandbox_deaths.py",
}


def test_every_named_boundary_is_in_the_table() -> None:
    root = Path(services.__path__[0])
    named = chain.from_iterable(re.findall(r'reach\(f?"([^"]+)"\)', path.read_text()) for path in root.rglob("*.py"))
    written = {name.partition("{")[0] for name in named} - {"store.appended", "worker.unknown_recorded"}
    tested = {fault.point for _, fault in CELLS} | set(ELSEWHERE)
    assert {name for name in written if not any(point.startswith(name) for point in tested)} == set()
    assert {point for point in tested if not any(point.startswith(name) for name in written)} == set()


def test_what_dies_elsewhere_does(request: pytest.FixtureRequest) -> None:
    for point, test in ELSEWHERE.items():
        assert f'"{point}"' in (request.config.rootpath / test).read_text()
