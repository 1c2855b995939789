"""Death of what is around a step: its program, its shim, its sidecar, the services, Redis, the machine."""

from services.core import keys
from tests.crash import story
from tests.crash.conftest import EVERYTHING, FleetMaker
from tests.crash.fleet import Fleet
from tests.crash.plan import Fault

RESTARTS = 3


def test_a_program_that_is_killed_is_the_agents_to_mend(fleet_of: FleetMaker) -> None:
    fleet = fleet_of()
    run = in_the_middle_of_its_step(fleet)
    first_attempt = fleet.attempt(f"{run}-train-1")
    first_attempt.kill_program()
    # What the killed shell had started lives on until the shim ends it, and must not get to say more.
    fleet.until(lambda: first_attempt.is_over)
    fleet.let_programs_go()
    fleet.until(story.ended(fleet, run))
    story.went_well(fleet, run)
    assert attempts(fleet, run) == ["failed", "succeeded"]
    first = fleet.store.state(run).steps["train"].attempts[0]
    assert "signal 9" in first.reason
    assert (first.log_bytes, first.log_complete) == (half(run), True)


def test_a_sidecar_that_is_killed_costs_no_byte(fleet_of: FleetMaker) -> None:
    fleet = fleet_of()
    run = in_the_middle_of_its_step(fleet)
    fleet.attempt(f"{run}-train-1").kill_sidecar()
    fleet.let_programs_go()
    fleet.until(story.ended(fleet, run))
    story.went_well(fleet, run)
    assert attempts(fleet, run) == ["succeeded"]


def test_a_step_that_outlives_its_workers_is_adopted(fleet_of: FleetMaker) -> None:
    fleet = fleet_of()
    run = in_the_middle_of_its_step(fleet)
    for _ in range(RESTARTS):
        restart(fleet, "worker-1", "worker-2", "controller")
    fleet.let_programs_go()
    fleet.until(story.ended(fleet, run))
    story.went_well(fleet, run)
    assert attempts(fleet, run) == ["succeeded"]


def test_a_step_outlives_everything_else_at_once(fleet_of: FleetMaker) -> None:
    fleet = fleet_of()
    run = in_the_middle_of_its_step(fleet)
    fleet.attempt(f"{run}-train-1").kill_sidecar()
    fleet.redis.kill()
    for service in EVERYTHING:
        fleet.kill(service)
    fleet.let_programs_go()
    fleet.until(story.ended(fleet, run))
    story.went_well(fleet, run)
    assert attempts(fleet, run) == ["succeeded"]


def test_a_step_whose_machine_dies_is_tried_again(fleet_of: FleetMaker) -> None:
    fleet = fleet_of()
    run = in_the_middle_of_its_step(fleet)
    attempt = fleet.attempt(f"{run}-train-1")
    attempt.kill_sidecar()
    attempt.kill_shim()
    for service in EVERYTHING:
        fleet.kill(service)
    fleet.let_programs_go()
    fleet.until(story.ended(fleet, run))
    story.went_well(fleet, run)
    assert attempts(fleet, run) == ["lost", "succeeded"]
    first = fleet.store.state(run).steps["train"].attempts[0]
    assert first.log_bytes + first.gap_bytes == half(run)
    assert first.log_complete == (first.log_bytes == half(run))


def test_a_command_whose_machine_is_gone_is_not_repeated(fleet_of: FleetMaker) -> None:
    fault = Fault("worker", "worker.command_started")
    fleet = fleet_of(fault, services=("api", "controller", "worker-away"))
    run = story.begin(fleet, "jotting")
    fleet.until(lambda: fleet.plan.has_happened(fault))
    fleet.want("api", "controller", "worker-2")
    fleet.until(story.ended(fleet, run))
    story.went_well(fleet, run)
    assert "outcome unknown" in str(story.events_of(fleet, run))


def in_the_middle_of_its_step(fleet: Fleet) -> str:
    """A run whose step's program has said half of what it has to say."""
    fleet.hold_programs()
    run = story.begin(fleet)
    story.until_begun(fleet, run)
    # That the run's log says so means no more than that there is a process.
    fleet.until(lambda: fleet.attempt(f"{run}-train-1").said_bytes == half(run))
    return run


def half(run: str) -> int:
    """How many bytes the first attempt's program writes before it is held."""
    return len(story.program().log_of(f"{run}-train-1")[0])


def attempts(fleet: Fleet, run: str) -> list[str]:
    """How the attempts of the step ended."""
    return [attempt.status for attempt in fleet.store.state(run).steps["train"].attempts]


def restart(fleet: Fleet, *services: str) -> None:
    """Kill the services and wait until their successors work."""
    lives = {service: fleet.log_of(service).count("worker_ready") for service in services}
    leader = fleet.client.hget(keys.leader("controller"), "name")
    for service in services:
        fleet.kill(service)
    for service, count in lives.items():
        if service.startswith("worker"):
            fleet.until(lambda service=service, count=count: fleet.log_of(service).count("worker_ready") > count)  # type: ignore[misc]
    if "controller" in services:
        fleet.until(lambda: fleet.client.hget(keys.leader("controller"), "name") != leader)
