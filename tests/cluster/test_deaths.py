"""The installed services killed with SIGKILL, while runs stand in every phase there is. No run notices.

Runs are held where they are to be caught: programs at gates, sidecars and services by SIGSTOP. One that is about to
start cannot be held: it gets a kill of its own.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.core.lifecycle import Status
from services.core.records import Attempt, RunState, Stage
from tests.cluster.admin import Admin, wait_until
from tests.cluster.errands import STEP, Clients, Errand, Reading, begin, expected_log, reading
from tests.cluster.gates import Gates
from tests.cluster.installation import Installed
from tests.cluster.test_installed import nothing_is_left
from tests.cluster.witness import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.installed, pytest.mark.timeout(400)]

PROGRAMS = {"api": "services.api", "worker": "services.worker", "controller": "services.worker.controller"}
SIDECAR = "services.runner"
# Where a run's program stands still, or its command for the sandbox.
HELD_AT = {
    "running": "half",
    "cancelled": "half",
    "finishing": "printed",
    "exited": "printed",
    "commanding": "look",
    "thinking": "look",
}
# Two Jobs are the most for a tenant: `queued` comes third.
TENANTS = {"running": "crowd", "exited": "crowd", "queued": "crowd", "cancelled": "pair", "finishing": "pair"}


def attempt(state: RunState) -> Attempt:
    return state.steps[STEP].last


# What must be on record of a run at the moment of the kill.
PHASES: dict[str, Callable[[RunState], bool]] = {
    "queued": lambda state: attempt(state).stage is Stage.QUEUED,
    "starting": lambda state: attempt(state).status == "submitted" and attempt(state).stage is not Stage.QUEUED,
    "running": lambda state: attempt(state).status == "running",
    "cancelled": lambda state: attempt(state).status == "running",
    "finishing": lambda state: attempt(state).is_live and attempt(state).stage is Stage.FINISHING,
    "exited": lambda state: attempt(state).status == "running",
    "commanding": lambda state: [call.tool for call in state.open_calls if call.begun] == ["bash"],
    "thinking": lambda state: state.model_call is not None and not state.steps.keys() - {"sandbox"},
}


class Scene:
    """Runs in their phases, and the service that is killed under them."""

    def __init__(self, admin: Admin, cohort: Installed, clients: Clients, gates: Gates, service: str) -> None:
        self._admin, self._cohort, self._clients, self._gates, self._service = admin, cohort, clients, gates, service
        self.runs: dict[str, Errand] = {}
        self._paused: list[int] = []

    def set(self) -> None:
        """Bring a run into every phase in which it can be held."""
        for phase, point in HELD_AT.items():
            self._begin(phase, point, looks=point == "look")
        for phase, point in HELD_AT.items():
            self._wait_for(phase, lambda run, point=point: self._gates.reached(run.token, point))
        for phase in ("running", "cancelled", "finishing", "exited"):
            self._wait_for(phase, lambda run: run.step().status == "running")
        self._begin("queued")
        self._wait_for("queued", lambda run: (step := run.step()) and step.stage is Stage.QUEUED)
        self._pause(self._sidecar("finishing"))
        self._let_exit("finishing")
        self._wait_for("finishing", lambda run: run.step().stage is Stage.FINISHING)

    def strike(self) -> None:
        """Kill every pod of the service under all of them."""
        self._cohort.until_whole()
        pods, pids, controllers = self._pods(), self._pids(self._service), self._pids("controller")
        self._gates.open(self.runs["thinking"].token)
        self._wait_for("thinking", lambda run: PHASES["thinking"](run.state()))
        # As long as these stand still, no end of an attempt is put on record.
        self._pause(pids + controllers)
        self._let_exit("exited")
        killed = self._kill(pods, pids)
        self.resume()
        self.runs["cancelled"].cancel()
        for phase, run in self.runs.items():
            if phase != "cancelled":
                self._gates.open(run.token)
        self._check_phases(killed, *self.runs)

    def strike_a_start(self) -> None:
        """Kill it again, under a run whose program is about to start."""
        self._cohort.until_whole()
        pods, pids = self._pods(), self._pids(self._service)
        self._begin("starting")
        self._wait_for("starting", lambda run: (step := run.step()) and step.stage not in {None, Stage.QUEUED})
        self._check_phases(self._kill(pods, pids), "starting")

    def resume(self) -> None:
        """Let everything go on that stands still, as far as it is alive."""
        if self._paused:
            self._admin.kill(self._paused, "CONT")
            self._paused = []

    def _begin(self, phase: str, *closed: str, looks: bool = False) -> None:
        api = self._clients(f"{self._service}-{TENANTS.get(phase, phase)}")
        self.runs[phase] = begin(api, self._gates, closed, looks)

    def _wait_for(self, phase: str, condition: Callable[[Errand], Any]) -> None:
        run = self.runs[phase]
        wait_until(lambda: condition(run), message=f"{phase}: {run.run}", pause=0.05)

    def _check_phases(self, killed: float, *phases: str) -> None:
        for phase in phases:
            state = self.runs[phase].state_at(killed)
            assert PHASES[phase](state), f"not {phase}: {state}"

    def _pause(self, pids: list[int]) -> None:
        self._paused += pids
        self._admin.kill(pids, "STOP")

    def _kill(self, pods: list[Any], pids: list[int]) -> float:
        """SIGKILL, and new pods at once. Returns when it was, in seconds since the epoch."""
        self._admin.kill(pids)
        killed = time.time()
        # A container that died once too often is started again ever later.
        for pod in pods:
            name, namespace = pod.metadata.name, self._cohort.namespace
            self._admin.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
        return killed

    def _pods(self) -> list[Any]:
        return self._cohort.pods(self._service)

    def _pids(self, service: str) -> list[int]:
        uids = [pod.metadata.uid for pod in self._cohort.pods(service)]
        return [
            pid for uid in uids for pid in wait_until(lambda uid=uid: self._admin.processes(uid, PROGRAMS[service]))
        ]

    def _step_pod(self, phase: str) -> Any:
        return self._admin.pod(self._cohort.steps, self.runs[phase].attempt)

    def _sidecar(self, phase: str) -> list[int]:
        return self._admin.processes(self._step_pod(phase).metadata.uid, SIDECAR)

    def _let_exit(self, phase: str) -> None:
        """Have its program go on, and wait for the end of its container."""
        self._gates.open(self.runs[phase].token)
        wait_until(lambda: has_exited(self._step_pod(phase)))


def has_exited(pod: Any) -> bool:
    return any(one.name == "main" and one.state.terminated for one in pod.status.container_statuses or ())


@pytest.fixture
def scene(
    admin: Admin, cohort: Installed, clients: Clients, gates: Gates, request: pytest.FixtureRequest
) -> Iterator[Scene]:
    scene = Scene(admin, cohort, clients, gates, request.param)
    yield scene
    scene.resume()


def check(run: Errand, gates: Gates, witness: Witness, status: Status) -> None:
    """Whatever died, the run ended as it should, and its program ran once, on record to the last byte."""
    state = run.state()
    assert state.status is status, f"{state.status}: {state.reason} {state.detail}"
    assert len(state.steps[STEP].attempts) == 1
    assert gates.reached(run.token, "begun") == 1
    last, log, expected = attempt(state), run.log(), expected_log(run.attempt)
    assert (last.log_complete, last.gap_bytes, last.log_bytes) == (True, 0, len(log))
    if status is Status.SUCCEEDED:
        assert (last.status, log) == ("succeeded", expected)
    else:
        assert last.status == "cancelled"
        # Its shell has the last word.
        assert expected.startswith(log.removesuffix(b"Terminated\n"))
    for name in (one.id for step in state.steps.values() for one in step.attempts):
        assert len(witness.jobs[name]) == 1, f"{name} had another Job"
        assert len(witness.pods[name]) == 1, f"{name} had another pod"


def check_streams(run: Errand, told: Reading, lines: Reading) -> None:
    """Everything came once and in order, however often the streams were cut."""
    assert [int(message.id) for message in told.messages if message.id] == [event.seq for event in run.events()]
    text = "".join(json.loads(message.data)["text"] for message in lines.messages if message.event == "log")
    assert text == expected_log(run.attempt).decode(errors="replace")


@pytest.mark.parametrize(
    ("scene", "cuts"), [("api", True), ("worker", False), ("controller", False)], indirect=["scene"]
)
def test_runs_in_every_phase_outlive_the_death_of_a_service(
    admin: Admin, cohort: Installed, gates: Gates, witness: Witness, scene: Scene, cuts: bool
) -> None:
    scene.set()
    read = scene.runs["running"]
    with reading(read, "events", "stream") as told, reading(read, "steps", STEP, "log", "stream") as lines:
        scene.strike()
        scene.strike_a_start()
        for run in scene.runs.values():
            run.until_over()
    for phase, run in scene.runs.items():
        check(run, gates, witness, Status.CANCELLED if phase == "cancelled" else Status.SUCCEEDED)
    check_streams(read, told, lines)
    assert (bool(told.cuts), bool(lines.cuts)) == (cuts, cuts)
    wait_until(lambda: nothing_is_left(admin, cohort))
