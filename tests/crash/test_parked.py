"""Runs that wait: however many there are, no worker holds anything for them."""

import os

from services.core.lifecycle import Status
from services.core.records import RunState
from tests.crash import story
from tests.crash.conftest import FleetMaker
from tests.crash.fleet import SLOTS, Fleet

BEFORE = 2 * SLOTS
RUNS = 80
# Pools of threads, each with a few for every slot, may not all have been full before.
ROOM = 3 * SLOTS


def test_a_parked_run_holds_no_thread_no_connection_and_no_slot(fleet_of: FleetMaker) -> None:
    fleet = fleet_of(services=("api", "controller", "worker-1"))
    fleet.hold_programs()
    park(fleet, BEFORE)
    threads, connections = what_is_held(fleet)

    runs = park(fleet, RUNS)

    more_threads, more_connections = what_is_held(fleet)
    assert more_threads - threads <= ROOM
    assert more_connections - connections <= ROOM
    assert {fleet.client.hget(fleet.keys.run(run), "lease_until") for run in runs} == {b"0"}
    fleet.let_programs_go()
    last = story.begin(fleet, "jotting")
    fleet.until(story.ended(fleet, last))
    story.went_well(fleet, last)


def park(fleet: Fleet, count: int) -> list[str]:
    """Begin so many runs and wait until all of them wait: for a person, and one for its step."""
    runs = [story.begin(fleet, "asking") for _ in range(count - 1)] + [story.begin(fleet)]
    fleet.until(lambda: all(fleet.store.state(run).status.is_parked for run in runs))
    # It waits for a research first, and goes on from that.
    fleet.until(lambda: waits_for_steps(fleet.store.state(runs[-1])))
    return runs


def waits_for_steps(state: RunState) -> bool:
    return state.status is Status.WAITING and state.wait is not None and state.wait.kind == "steps"


def what_is_held(fleet: Fleet) -> tuple[int, int]:
    """The worker's threads, and its connections to Redis."""
    threads = len(os.listdir(f"/proc/{fleet.pid('worker-1')}/task"))
    connections = [client for client in fleet.client.client_list() if client["name"] == "cohort-worker"]
    return threads, len(connections)
