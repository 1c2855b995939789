"""Hints may be lost, doubled and reordered: nothing but the delay changes."""

import random

from services.core.hints import CeleryHints, celery_app
from tests.crash import story
from tests.crash.conftest import EVERYTHING, FleetMaker
from tests.crash.fleet import Fleet

RUNS = 3
TIMES = 5
QUEUE = "q:hints"


def test_runs_whose_hints_are_deleted_are_found_again(fleet_of: FleetMaker) -> None:
    fleet = fleet_of(services=("api", "controller"))
    runs = [story.begin(fleet, "jotting") for _ in range(RUNS)]
    broker = fleet.broker()
    fleet.until(lambda: broker.llen(QUEUE) >= RUNS)
    broker.flushdb()
    fleet.want(*EVERYTHING)
    fleet.until(story.ended(fleet, *runs))
    story.went_well(fleet, *runs)


def test_hints_that_come_five_times_in_any_order_change_nothing(fleet_of: FleetMaker) -> None:
    fleet = fleet_of()
    runs = [story.begin(fleet) for _ in range(RUNS)]
    is_over = story.ended(fleet, *runs)
    hinter = Hinter(fleet, runs)

    def hinted() -> bool:
        hinter.hint_where_something_happened()
        return is_over()

    fleet.until(hinted)
    story.went_well(fleet, *runs)


class Hinter:
    """Somebody who tells everybody everything, again and again."""

    def __init__(self, fleet: Fleet, runs: list[str]) -> None:
        self._fleet = fleet
        self._runs = runs
        self._hints = CeleryHints(celery_app(fleet.redis.url_of(1)))
        self._random = random.Random(7)
        self._seen: dict[str, int] = {}

    def hint_where_something_happened(self) -> None:
        """Publish each run that has new events several times, in random order."""
        now = {run: self._fleet.store.last_seq(run) for run in self._runs}
        told = [run for run, seq in now.items() if self._seen.get(run) != seq] * TIMES
        self._seen = now
        self._random.shuffle(told)
        for run in told:
            self._hints.publish(run)
