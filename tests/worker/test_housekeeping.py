"""What runs leave on a machine is cleared away once they are over, and not before."""

from pathlib import Path

from services.core.artifacts import ArtifactStore
from services.core.store import RunStore
from services.core.workspace import Workspace
from services.runner.spool import Spool
from services.worker.housekeeping import Housekeeper, clear_if_over
from services.worker.shells.local import LocalShell
from tests.servers import wait_until
from tests.worker.workshop import Workshop


def left_behind(workshop: Workshop, run: str) -> Path:
    """What a worker leaves that slept in the middle of a command."""
    place = workshop.settings.state_dir / "runs" / run / "commands" / "call_1_0"
    place.mkdir(parents=True)
    return place.parent.parent


def test_only_directories_of_runs_that_are_over_or_unknown_go(workshop: Workshop) -> None:
    over, under_way = workshop.accept("hello"), workshop.accept("hello")
    workshop.drive(over)
    left = {run: left_behind(workshop, run) for run in (over, under_way, "r0000000000000")}

    cleared = Housekeeper(workshop.store, workshop.engine.shell, 1.0).sweep()

    assert sorted(cleared) == sorted([over, "r0000000000000"])
    assert [run for run, place in left.items() if place.exists()] == [under_way]


def test_it_looks_again_and_again(workshop: Workshop) -> None:
    over = workshop.accept("hello")
    workshop.drive(over)
    with Housekeeper(workshop.store, workshop.engine.shell, 0.02):
        for _ in range(2):
            left = left_behind(workshop, over)
            wait_until(lambda left=left: not left.exists())  # type: ignore[misc]


def test_a_directory_that_vanishes_meanwhile_is_no_error(
    store: RunStore, artifacts: ArtifactStore, tmp_path: Path
) -> None:
    place = tmp_path / "runs" / "r0000000000000" / "commands" / "call_1_0"
    place.mkdir(parents=True)
    Spool(place).cancel()
    shell = LocalShell(tmp_path / "runs", Workspace(artifacts))
    assert clear_if_over(store, shell, "r0000000000000")
    shell.close("r0000000000000")
    assert shell.runs() == []
