"""Upgrades and ends of services under runs that are in the middle of something: nobody notices."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import uuid4

import pytest
from kubernetes import client, watch

from services.cli.client import ApiClient
from services.cli.commands.submit import post_goal
from services.cli.goal import Goal
from services.core import events as ev
from services.core.lifecycle import Status
from tests.cluster.admin import Admin, wait_until
from tests.cluster.errands import STEP, Clients, Errand, begin, patiently, reading
from tests.cluster.gates import Gates
from tests.cluster.installation import Installed, merged, restarts
from tests.cluster.test_deaths import check, check_streams
from tests.cluster.test_installed import nothing_is_left
from tests.cluster.witness import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.installed, pytest.mark.timeout(600)]

ROLLED = ("api", "worker", "controller")
SECRETS = {"api-key": "api-key", "runner": "runner-secret", "redis": "password"}
# So long that nobody who waits for a lease to run out goes unnoticed.
LEASE_SECONDS = 60
PATIENT = 3


def begin_patient(api: ApiClient, turns: int) -> Errand:
    """Post a goal that takes so many turns, of a second or two each."""
    token = uuid4().hex[:12]
    goal = Goal(text=f"turns={turns} {token}", model="scripted/patient")
    return Errand(api, str(patiently(lambda: post_goal(api, goal, f"patient-{token}"))["run"]), token)


@dataclass
class Ends:
    """What the worker pods logged, and how their containers ended. By pod."""

    logs: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)

    def said(self, pod: str, event: str) -> list[dict[str, object]]:
        return [line for line in self.logs[pod] if line.get("event") == event]


@contextmanager
def following(cohort: Installed, *parts: str) -> Iterator[Ends]:
    """Follow the pods that the parts have now to their ends. Nobody else would know later: pods go with their logs."""
    ends, stopped = Ends(), threading.Event()
    names = [pod.metadata.name for part in parts for pod in cohort.pods(part)]
    with ExitStack() as stack:
        for name in names:
            ends.logs[name] = []
            stack.enter_context(_thread(_follow, cohort, name, ends))
        stack.enter_context(_thread(_note_codes, cohort, ends, stopped))
        stack.callback(stopped.set)
        yield ends
        wait_until(lambda: set(names) <= set(ends.codes), message="the old pods ended")


@contextmanager
def _thread(work: object, *arguments: object) -> Iterator[None]:
    thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
    thread.start()
    yield
    thread.join(30)


def _follow(cohort: Installed, name: str, ends: Ends) -> None:
    with client.ApiClient(cohort.admin.settings) as api:
        read = client.CoreV1Api(api).read_namespaced_pod_log
        stream = read(name, cohort.namespace, follow=True, _preload_content=False)
        for line in stream:
            text = line.decode(errors="replace")
            ends.logs[name].append(json.loads(text) if text.startswith("{") else {"text": text})


def _note_codes(cohort: Installed, ends: Ends, stopped: threading.Event) -> None:
    with client.ApiClient(cohort.admin.settings) as api:
        listing = client.CoreV1Api(api).list_namespaced_pod
        while not stopped.is_set():
            for change in watch.Watch().stream(listing, cohort.namespace, timeout_seconds=2):
                for one in change["object"].status.container_statuses or ():
                    if one.state.terminated:
                        ends.codes[change["object"].metadata.name] = one.state.terminated.exit_code


@dataclass(frozen=True)
class Busy:
    """Runs in the middle of a step, of a command, and of turns."""

    step: Errand
    command: Errand
    patient: tuple[Errand, ...]

    @property
    def all(self) -> tuple[Errand, ...]:
        return (self.step, self.command, *self.patient)


def busy(clients: Clients, gates: Gates, turns: int) -> Busy:
    """Have these under way."""
    step = begin(clients("busy-step"), gates, ("half",))
    command = begin(clients("busy-command"), gates, ("look",), looks=True)
    wait_until(lambda: gates.reached(step.token, "half") and gates.reached(command.token, "look"))
    wait_until(lambda: attempt.status == "running" if (attempt := step.step()) else False)
    patient = tuple(begin_patient(clients("busy-turns"), turns) for _ in range(PATIENT))
    for run in patient:
        wait_until(lambda run=run: run.state().turn > 1)
    return Busy(step, command, patient)


def check_patient(run: Errand, longest_pause: float) -> None:
    """Every reply was asked for once, and nobody waited for long."""
    assert run.state().status is Status.SUCCEEDED
    events = run.events()
    asked = [event for event in events if isinstance(event.data, ev.LlmRequest)]
    got = [event for event in events if isinstance(event.data, ev.LlmCall)]
    assert len(asked) == len(got) == run.state().turn
    assert not [event for event in events if isinstance(event.data, ev.LlmFailed)]
    pauses = [later.time - earlier.time for earlier, later in pairwise(events)]
    assert max(pauses) < longest_pause, pauses


def test_upgrades_that_replace_every_pod_are_noticed_by_no_run(
    admin: Admin, cohort: Installed, clients: Clients, gates: Gates, witness: Witness
) -> None:
    cohort.until_whole()
    first = {pod.metadata.uid for part in ROLLED for pod in cohort.pods(part)}
    secrets = {name: cohort.secret(name, key) for name, key in SECRETS.items()}
    runs = busy(clients, gates, turns=70)
    with reading(runs.step, "events", "stream") as told, reading(runs.step, "steps", STEP, "log", "stream") as lines:
        cohort.release.upgrade(merged(cohort.values, {"worker": {"settings": {"lease_seconds": LEASE_SECONDS}}}))
        # Workers with long leases end; what they hold goes on at once.
        with following(cohort, *ROLLED) as ends:
            cohort.release.upgrade(
                merged(cohort.values, {part: {"podAnnotations": {"rolled": "yes"}} for part in ROLLED})
            )
        for run in runs.all:
            gates.open(run.token)
        for run in runs.all:
            run.until_over()
    assert {name: cohort.secret(name, key) for name, key in SECRETS.items()} == secrets
    assert not first & {pod.metadata.uid for part in ROLLED for pod in cohort.pods(part)}
    assert {name: code for name, code in ends.codes.items() if name in ends.logs and code} == {}
    draining = [line for name in ends.logs if "worker" in name for line in ends.said(name, "worker_draining")]
    assert len(draining) == len([name for name in ends.logs if "worker" in name])
    # Some of them had runs in their hands.
    assert any(line["leases"] for line in draining)
    for errand in (runs.step, runs.command):
        check(errand, gates, witness, Status.SUCCEEDED)
    check_streams(runs.step, told, lines)
    for run in runs.patient:
        check_patient(run, longest_pause=LEASE_SECONDS / 2)
    assert not [pod.metadata.name for pod in cohort.pods() if restarts(pod)]
    wait_until(lambda: nothing_is_left(admin, cohort))


def test_workers_deleted_in_the_middle_of_a_turn_finish_it_and_others_go_on(
    admin: Admin, cohort: Installed, clients: Clients
) -> None:
    cohort.until_whole()
    runs = [begin_patient(clients("deleted"), turns=8) for _ in range(PATIENT)]
    for run in runs:
        wait_until(lambda run=run: run.state().model_call is not None, pause=0.02)
    with following(cohort, "worker") as ends:
        for name in ends.logs:
            admin.core.delete_namespaced_pod(name, cohort.namespace)
        for run in runs:
            run.until_over()
    assert [ends.codes[name] for name in ends.logs] == [0] * len(ends.logs)
    for run in runs:
        check_patient(run, longest_pause=60)
    cohort.until_whole()
