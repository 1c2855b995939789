"""Everything at once: many runs, while anybody may die at any moment."""

import random
import time
from dataclasses import dataclass

import pytest

from tests.crash import story
from tests.crash.conftest import EVERYTHING, FleetMaker
from tests.crash.fleet import Fleet
from tests.crash.pipeline import Pipeline

SEED = 20
# Long enough for a worker that is merely busy: a run whose holders die five times in a row before they have written
# anything is given up as poison, and here they die often.
LEASE_SECONDS = 3.0


@dataclass(frozen=True)
class Soak:
    """How many runs, how long somebody dies, and how often (seconds)."""

    runs: int
    seconds: float
    pause: float


@pytest.mark.parametrize(
    "soak", [Soak(4, 6.0, 1.0), pytest.param(Soak(20, 40.0, 1.2), marks=[pytest.mark.crash, pytest.mark.timeout(400)])]
)
def test_every_accepted_goal_ends_well_while_anybody_may_die(fleet_of: FleetMaker, soak: Soak) -> None:
    fleet = fleet_of(lease_seconds=LEASE_SECONDS)
    for number in range(soak.runs):
        pipeline = Pipeline(fleet, f"tenant-{number}")
        goal, playbook = story.goal_of(fleet, str(number)), "jotting" if number % 4 == 3 else "story"
        fleet.runs.append(pipeline.submit(goal, f"scripted/{playbook}", str(number)))
    reaper = Reaper(fleet, random.Random(SEED))
    over = time.monotonic() + soak.seconds
    while time.monotonic() < over:
        reaper.strike()
        next_one = time.monotonic() + soak.pause
        fleet.until(lambda next_one=next_one: time.monotonic() > next_one)  # type: ignore[misc]
    fleet.until(story.ended(fleet, *fleet.runs), timeout=240)
    story.went_well(fleet, *fleet.runs)


class Reaper:
    """Kills one thing after another, by chance."""

    def __init__(self, fleet: Fleet, chance: random.Random) -> None:
        self._fleet = fleet
        self._chance = chance

    def strike(self) -> None:
        """Kill one of the services, Redis, a sidecar, a program or its shim, or delete the queue."""
        victim = self._chance.choice([*EVERYTHING, "redis", "queue", "sidecar", "program", "shim"])
        match victim:
            case "redis":
                self._fleet.redis.kill()
            case "queue":
                self._fleet.broker().flushdb()
            case "sidecar" | "program" | "shim":
                self._strike_a_step(victim)
            case _:
                self._fleet.kill(victim)

    def _strike_a_step(self, part: str) -> None:
        # Only at first attempts: a step that is lost or fails again and again is no longer the platform's business.
        attempts = [attempt for attempt in self._fleet.attempts() if attempt.name.endswith("-1")]
        if attempts:
            attempt = self._chance.choice(attempts)
            {"sidecar": attempt.kill_sidecar, "program": attempt.kill_program, "shim": attempt.kill_shim}[part]()
