"""Redis and the artifact store are backed up, lost and restored, as docs/backup.md says, with runs at work."""

import shutil
from pathlib import Path

import pytest

from services.core.lifecycle import Status
from services.keeping.install import install_of
from services.keeping.restore import Outcome, Restorer
from services.keeping.verify import Verifier
from tests.crash import story
from tests.crash.conftest import FleetMaker
from tests.crash.fleet import Fleet


def back_up(fleet: Fleet, place: Path) -> None:
    """Redis first: what it names is then in a later copy of the artifacts."""
    place.mkdir()
    fleet.redis.back_up(place / "redis.rdb")
    shutil.copytree(fleet.directory / "artifacts", place / "artifacts")


def lose_everything(fleet: Fleet) -> None:
    for service in ("api", "controller", "worker-1", "worker-2"):
        fleet.kill(service)
    fleet.want()
    fleet.redis.lose()
    shutil.rmtree(fleet.directory / "artifacts")


def restore(fleet: Fleet, place: Path) -> None:
    fleet.redis.restore(place / "redis.rdb")
    shutil.copytree(place / "artifacts", fleet.directory / "artifacts")


def is_sound(fleet: Fleet) -> bool:
    install = install_of(fleet.client, fleet.keys, fleet.artifacts)
    findings = Verifier(install, 1.0, lambda: None).report().findings
    assert findings == []
    return True


def waiting_for_its_program(fleet: Fleet) -> str:
    fleet.hold_programs()
    run = story.begin(fleet)
    story.until_begun(fleet, run)
    fleet.until(lambda: fleet.store.state(run).status is Status.WAITING)
    return run


@pytest.mark.timeout(240)
def test_after_a_restore_the_store_is_sound_and_runs_go_on(fleet_of: FleetMaker, tmp_path: Path) -> None:
    fleet = fleet_of()
    over = story.begin(fleet)
    fleet.until(story.ended(fleet, over))
    run = waiting_for_its_program(fleet)
    back_up(fleet, tmp_path / "backup")
    before = fleet.store.state(over)

    lose_everything(fleet)
    restore(fleet, tmp_path / "backup")

    assert is_sound(fleet)
    assert fleet.store.state(over) == before
    fleet.want("api", "controller", "worker-1", "worker-2")
    fleet.let_programs_go()
    fleet.until(story.ended(fleet, run))
    # The program went on by itself all the while, and was found again.
    assert len(fleet.store.state(run).steps["train"].attempts) == 1
    story.went_well(fleet, run)
    assert is_sound(fleet)


@pytest.mark.timeout(240)
def test_runs_go_on_from_an_older_redis_and_what_ended_since_is_read_from_its_archive(
    fleet_of: FleetMaker, tmp_path: Path
) -> None:
    fleet = fleet_of()
    run = waiting_for_its_program(fleet)
    back_up(fleet, tmp_path / "backup")
    fleet.let_programs_go()
    since = story.begin(fleet)
    fleet.until(story.ended(fleet, run, since))
    known = fleet.store.state(since)
    shutil.copytree(fleet.directory / "artifacts", tmp_path / "backup" / "artifacts", dirs_exist_ok=True)

    lose_everything(fleet)
    restore(fleet, tmp_path / "backup")
    install = install_of(fleet.client, fleet.keys, fleet.artifacts)
    done = {each.run: each.outcome for each in Restorer(install).restore()}

    assert (done[run], done[since]) == (Outcome.AHEAD, Outcome.RESTORED)
    assert install.store.state(since) == known
    assert is_sound(fleet)
    fleet.want("api", "controller", "worker-1", "worker-2")
    # Its program is over and cleared away, so the platform runs the step once more.
    fleet.until(story.ended(fleet, run))
    state = fleet.store.state(run)
    assert state.status is Status.SUCCEEDED
    assert [attempt.status for attempt in state.steps["train"].attempts] == ["lost", "succeeded"]
    assert is_sound(fleet)
