"""The installed services killed with SIGKILL, while runs stand in every phase there is. No run notices."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from deploy.trial.install import Installed
from deploy.trial.witness import Witness
from services.core.lifecycle import Status
from services.core.records import Attempt, RunState, Stage
from tests.cluster.admin import Admin, wait_until
from tests.cluster.errands import STEP, Errand, begin, expected_log, reading
from tests.cluster.gates import Gates
from tests.cluster.test_installed import nothing_is_left

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("installed"), pytest.mark.timeout(400)]

PROGRAMS = {"api": "services.api", "worker": "services.worker", "controller": "services.worker.controller"}


def attempt(state: RunState) -> Attempt:
    return state.steps[STEP].last


# What must be true of a run at the moment of the kill.
PHASES: dict[str, Callable[[RunState], bool]] = {
    "queued": lambda state: attempt(state).stage is Stage.QUEUED,
    "running": lambda state: attempt(state).status == "running",
    "cancelled": lambda state: attempt(state).status == "running",
    "finishing": lambda state: attempt(state).is_live and attempt(state).stage is Stage.FINISHING,
    "exited": lambda state: attempt(state).status == "running",
    "commanding": lambda state: [call.tool for call in state.open_calls if call.begun] == ["bash"],
    "thinking": lambda state: state.model_call is not None and not state.steps.keys() - {"sandbox"},
    "starting": lambda state: attempt(state).status == "submitted" and attempt(state).stage is not Stage.QUEUED,
}


class Scene:
    """Runs in their phases, and the service that is killed under them."""

    def __init__(self, admin: Admin, cohort: Installed, gates: Gates, service: str) -> None:
        self.admin, self.cohort, self.gates, self.service = admin, cohort, gates, service
        self.runs: dict[str, Errand] = {}
        self._pod: Any = None
        self._pids: list[int] = []

    def begin(self, phase: str, tenant: str, *closed: str, looks: bool = False) -> Errand:
        key = self.cohort.key(f"{self.service}-{tenant}")
        self.runs[phase] = begin(key, self.cohort.url, self.gates, closed, looks)
        return self.runs[phase]

    def aim(self) -> None:
        """Find the processes to be killed."""
        self._pod = wait_until(lambda: self.cohort.pod(self.service))
        find = self.admin.processes
        self._pids = wait_until(lambda: find(self._pod.metadata.uid, PROGRAMS[self.service]))

    def pause(self) -> None:
        self.admin.kill(self._pids, "STOP")

    def kill(self) -> float:
        """SIGKILL, and a new pod at once. Returns when it was, in seconds since the epoch."""
        self.admin.kill(self._pids)
        killed = time.time()
        # A container that died once too often is started again ever later.
        namespace = self.cohort.place.name
        self.admin.core.delete_namespaced_pod(self._pod.metadata.name, namespace, grace_period_seconds=0)
        return killed

    def pod_of(self, phase: str) -> Any:
        return self.admin.pod(self.cohort.place.steps, self.runs[phase].attempt)

    def let_exit(self, phase: str) -> None:
        """Have its program go on, and wait for the end of its container."""
        self.gates.open(self.runs[phase].token)
        wait_until(lambda: has_exited(self.pod_of(phase)))

    def reach_everything(self) -> None:
        """Bring a run into every phase in which it can be held."""
        self.begin("running", "crowd", "half")
        self.begin("exited", "crowd", "printed")
        self.begin("cancelled", "pair", "half")
        self.begin("finishing", "pair", "printed")
        self.begin("commanding", "commander", "look", looks=True)
        self.begin("thinking", "thinker", "look", looks=True)
        held = {"running": "half", "exited": "printed", "cancelled": "half", "finishing": "printed"}
        held |= {"commanding": "look", "thinking": "look"}
        for phase, point in held.items():
            self.wait_for(phase, lambda run, point=point: self.gates.reached(run.token, point))
            if phase in {"running", "cancelled", "exited", "finishing"}:
                self.wait_for(phase, lambda run: run.step().status == "running")
        # The tenant may have no more Jobs.
        self.begin("queued", "crowd")
        self.wait_for("queued", lambda run: (step := run.step()) and step.stage is Stage.QUEUED)

    def wait_for(self, phase: str, condition: Callable[[Errand], Any]) -> None:
        run = self.runs[phase]
        wait_until(lambda: condition(run), message=f"{phase}: {run.run}", pause=0.05)


def has_exited(pod: Any) -> bool:
    return any(one.name == "main" and one.state.terminated for one in pod.status.container_statuses or ())


def check(run: Errand, gates: Gates, witness: Witness, status: Status) -> None:
    """Whatever died, the run ended as it should, and its program ran once, on record to the last byte."""
    state = run.state()
    assert state.status is status, f"{state.status}: {state.reason} {state.detail}"
    assert len(state.steps[STEP].attempts) == 1
    assert gates.reached(run.token, "begun") == 1
    last, log, expected = state.steps[STEP].last, run.log(), expected_log(run.attempt)
    assert (last.log_complete, last.gap_bytes, last.log_bytes) == (True, 0, len(log))
    if status is Status.SUCCEEDED:
        assert last.status == "succeeded"
        assert log == expected
    else:
        assert last.status == "cancelled"
        assert expected.startswith(log)
    for name in (one.id for step in state.steps.values() for one in step.attempts):
        assert len(witness.jobs[name]) == 1, f"{name} had another Job"
        assert len(witness.pods[name]) == 1, f"{name} had another pod"


@pytest.mark.parametrize("service", ["api", "worker", "controller"])
def test_runs_in_every_phase_outlive_the_death_of_a_service(
    admin: Admin, cohort: Installed, gates: Gates, witness: Witness, service: str
) -> None:
    scene = Scene(admin, cohort, gates, service)
    scene.reach_everything()
    runs = scene.runs
    with ExitStack() as readers:
        told = readers.enter_context(reading(runs["running"], "events", "stream"))
        lines = readers.enter_context(reading(runs["running"], "steps", STEP, "log", "stream"))
        sidecar = admin.processes(scene.pod_of("finishing").metadata.uid, "services.runner")
        admin.kill(sidecar, "STOP")
        scene.let_exit("finishing")
        scene.wait_for("finishing", lambda run: run.step().stage is Stage.FINISHING)
        scene.aim()
        gates.open(runs["thinking"].token)
        scene.wait_for("thinking", lambda run: PHASES["thinking"](run.state()))
        scene.pause()
        scene.let_exit("exited")
        killed = scene.kill()

        admin.kill(sidecar, "CONT")
        runs["cancelled"].cancel()
        for run in runs.values():
            gates.open(run.token)
        for phase, run in runs.items():
            assert PHASES[phase](run.state_at(killed)), f"not {phase}: {run.state_at(killed)}"

        scene.aim()
        scene.begin("starting", "starter")
        scene.wait_for("starting", lambda run: (step := run.step()) and step.stage not in {None, Stage.QUEUED})
        killed = scene.kill()
        assert PHASES["starting"](runs["starting"].state_at(killed)), "it was quicker"

        for run in runs.values():
            wait_until(lambda run=run: run.state().status.is_final, timeout=120, pause=0.2)
    for phase, run in runs.items():
        check(run, gates, witness, Status.CANCELLED if phase == "cancelled" else Status.SUCCEEDED)
    whole = runs["running"].events()
    assert [int(message.id) for message in told.messages if message.id] == [event.seq for event in whole]
    text = "".join(json.loads(message.data)["text"] for message in lines.messages if message.event == "log")
    assert text == expected_log(runs["running"].attempt).decode(errors="replace")
    if service == "api":
        assert told.cuts
        assert lines.cuts
    wait_until(lambda: nothing_is_left(admin, cohort))
