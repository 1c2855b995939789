"""A primary that dies with runs at work, and a replica that takes its place: the runs go on with all they have."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.core.lifecycle import Status
from tests.crash import story
from tests.crash.conftest import EVERYTHING
from tests.crash.fleet import Fleet
from tests.crash.nursery import Nursery
from tests.crash.pipeline import Pipeline
from tests.sentinels import Sentinels


class Watched:
    """The primary that Sentinels name, as a fleet knows a Redis. Nobody starts it again: another takes over."""

    def __init__(self, sentinels: Sentinels) -> None:
        self.sentinels = sentinels
        self.is_running = True

    @property
    def url(self) -> str:
        return self.url_of(0)

    @property
    def pid(self) -> int:
        return self.sentinels.primary().pid

    def url_of(self, database: int) -> str:
        return self.sentinels.url(database)

    def resume(self) -> None:
        """Nobody pauses it."""


@pytest.fixture
def fleet(tmp_path: Path, nursery: Nursery, model_url: str) -> Iterator[Fleet]:
    sentinels = Sentinels(tmp_path / "redis", "hush-hush")
    watched = Watched(sentinels)
    with Fleet(tmp_path, watched, nursery, model_url, EVERYTHING) as running:  # type: ignore[arg-type]
        yield running
    sentinels.stop()


@pytest.mark.timeout(240)
def test_runs_outlast_the_death_of_the_primary(fleet: Fleet) -> None:
    watched: Watched = fleet.redis  # type: ignore[assignment]
    fleet.hold_programs()
    waiting = story.begin(fleet)
    story.until_begun(fleet, waiting)
    fleet.until(lambda: fleet.store.state(waiting).status is Status.WAITING)
    busy = [story.begin(fleet) for _ in range(2)]
    fleet.until(lambda: all(fleet.store.state(run).turn for run in busy))
    fleet.until(lambda: fleet.client.wait(1, 1_000) == 1)

    watched.sentinels.fail_over()

    fleet.let_programs_go()
    fleet.until(story.ended(fleet, waiting, *busy), timeout=150)
    assert [fleet.store.state(run).status for run in (waiting, *busy)] == [Status.SUCCEEDED] * 3
    for run in (waiting, *busy):
        events = fleet.store.events(run)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
    # The API takes new work, and tells of it, on the new primary.
    later = Pipeline(fleet, "tenant-later").submit(story.goal_of(fleet, "later"), "scripted/story", "after")
    fleet.runs.append(later)
    fleet.until(story.ended(fleet, later))
    story.went_well(fleet, later)
