"""What is done to the fleet: filled, left alone for a while, probed, and let go; and what is measured meanwhile."""

import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from kubernetes import client as official, config
from prometheus_client import CollectorRegistry, Counter

from benchmarks.figures import Figure, figure, table
from benchmarks.parked import resident_bytes
from benchmarks.simulated.runners import Runners
from benchmarks.simulated.watch import Watch
from benchmarks.stand import Stand, up
from services.cli.home import read_json
from services.cli.stack import free_ports
from services.core import events as ev
from services.core.apikeys import ApiKeys, Scope
from services.core.attempts import AttemptStore
from services.core.records import RunState
from services.worker.executors.kubernetes.client import connect

REQUESTS_A_STEP = "requests a step beyond watches"

_RUNS, _STEPS = 200, 10
_TENANTS = [f"team-{number}" for number in range(10)]
# The other tenants have none: what they ask for stays with the scheduler.
_QUOTA = {"team-0": 100, "team-1": 150, "team-2": 180}
_PROBES, _PROBES_PER_SECOND = 60, 1.0
_STEADY_SECONDS = 30.0
_STEP_SECONDS = (20.0, 200.0)
_FILL_SECONDS, _PROBE_SECONDS, _END_SECONDS = 400.0, 120.0, 900.0
_PROBE_TENANT = "prober"

_POOLS = """\
pools:
  - name: gpu
    tolerations: [{key: nvidia.com/gpu, operator: Exists}]
    gpus_per_node: 8
    nodes: 100
    max_cpu: 90
    max_memory: 900Gi
  - name: cpu
    tolerations: [{key: nvidia.com/gpu, operator: Exists}]
    nodes: 100
    max_cpu: 2
quota:
  tenants: {%s}
"""


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario. `wrong` says what must not be; nothing, if all is well."""

    figures: list[Figure]
    wrong: list[str]


class Fleet:
    """The stack, the cluster it runs on, and who watches both."""

    def __init__(self, stand: Stand, watch: Watch, runners: Runners, metrics_url: str) -> None:
        self.stand = stand
        self.watch = watch
        self.runners = runners
        self.attempts = AttemptStore(stand.store.client, stand.store.keys)
        self._metrics_url = metrics_url
        self._keys = ApiKeys(stand.store.client)
        self._tokens: dict[str, str] = {}

    def post(self, tenant: str, playbook: str, goal: str, resources: Mapping[str, object]) -> str:
        body = {"goal": goal, "model": f"scripted/{playbook}", "resources": resources, "limits": {"minutes": 600}}
        answer = self._api(tenant, "/v1/runs", body)
        return str(answer["run"])

    def cancel(self, tenant: str, run: str) -> None:
        self._api(tenant, f"/v1/runs/{run}/cancel", {})

    def controllers(self, name: str, **labels: str) -> float:
        """The sum of one of the controller's series, over the labels that are not named."""
        total = 0.0
        for line in httpx.get(self._metrics_url, timeout=30).text.splitlines():
            found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? ([0-9.e+-]+)", line)
            if found and all(f'{label}="{value}"' in (found[1] or "") for label, value in labels.items()):
                total += float(found[2])
        return total

    def changes_asked(self) -> float:
        """Requests to the API server beyond lists and watches."""
        asked = self.controllers("cohort_kubernetes_requests_total")
        return asked - self.controllers("cohort_kubernetes_requests_total", verb="GET")

    def controller_cpu(self) -> float:
        """CPU seconds of the controller so far."""
        fields = Path(f"/proc/{self.stand.pid('controller')}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def controller_mib(self) -> float:
        return resident_bytes(self.stand.pid("controller")) / 2**20

    def _api(self, tenant: str, path: str, body: Mapping[str, object]) -> dict[str, object]:
        if tenant not in self._tokens:
            self._tokens[tenant] = self._keys.create(tenant, [Scope.ADMIN], "benchmark")[1]
        headers = {"Authorization": f"Bearer {self._tokens[tenant]}"}
        answer = httpx.post(f"{self.stand.url}{path}", json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return dict(answer.json())


class Pace:
    """How long programs run: for ever until they are let go."""

    def __init__(self) -> None:
        self.let_go_at: float | None = None
        self.at_once: set[str] = set()
        self._seconds: dict[str, float] = {}

    def __call__(self, attempt: str, began: float) -> float | None:
        if attempt in self.at_once:
            return began
        if self.let_go_at is None:
            return None
        return max(began, self.let_go_at) + self._seconds.setdefault(attempt, random.uniform(*_STEP_SECONDS))


def measure() -> list[Figure]:
    """The figures. Raises `RuntimeError` where something was wrong besides."""
    outcome = play(lambda text: print(f"… {text}", file=sys.stderr, flush=True))
    if outcome.wrong:
        raise RuntimeError("\n".join(outcome.wrong))
    return outcome.figures


def play(say: Callable[[str], None]) -> Outcome:
    """Play the scenario on the cluster that `KUBECONFIG` names."""
    pace = Pace()
    with _fleet(pace) as fleet:
        say(f"filling with {_RUNS * _STEPS} steps")
        asked, cpu = fleet.changes_asked(), fleet.controller_cpu()
        runs = [_post(fleet, number) for number in range(_RUNS)]
        _until(lambda: _is_full(fleet), _FILL_SECONDS, "the fleet is not full")
        say("full; left alone")
        steady = _steady(fleet)
        say(f"probing\n{table(steady)}")
        probes = _probe(fleet, pace)
        say(f"letting go\n{table(probes.figures)}")
        pace.let_go_at = time.time()
        every = [*runs, *probes.runs]
        _until(lambda: _are_over(fleet, every), _END_SECONDS, "runs do not end")
        _until(lambda: not (fleet.watch.jobs_there() or fleet.watch.pods_there()), 120, "Jobs are left over")
        steps = sum(len(step.attempts) for run in every for step in _state(fleet, run).steps.values())
        figures = [
            *steady,
            *probes.figures,
            figure("program's end to the run's event, 2,000 ending in a row", "s", _ends(fleet, runs)),
            figure(REQUESTS_A_STEP, "", [(fleet.changes_asked() - asked) / steps], bar=2),
            figure("times that our own watch broke off", "", [fleet.watch.gaps]),
            figure("controller CPU a step, all in all", "ms", [(fleet.controller_cpu() - cpu) / steps * 1000]),
        ]
        return Outcome(figures, list(_wrong(fleet, runs)))


@contextmanager
def _fleet(pace: Pace) -> Iterator[Fleet]:
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig:
        raise RuntimeError("KUBECONFIG names no cluster; this needs a simulated fleet")
    with _namespace(kubeconfig) as namespace, tempfile.TemporaryDirectory(prefix="cohort-fleet-") as place:
        pools = Path(place, "pools.yaml")
        pools.write_text(_POOLS % ", ".join(f"{name}: {gpus}" for name, gpus in _QUOTA.items()))
        (port,) = free_ports(1)
        tuning = {
            "COHORT_EXECUTOR": "kubernetes",
            "COHORT_KUBECONFIG": kubeconfig,
            "COHORT_KUBERNETES_NAMESPACE": namespace,
            "COHORT_POOLS_FILE": str(pools),
            "COHORT_RUNNER_IMAGE": "cohort/runner:simulated",
            "COHORT_STEP_IMAGE": "cohort/step:simulated",
            "COHORT_CONTROLLER_METRICS_PORT": str(port),
        }
        with up(tuning) as stand:
            requests = Counter("requests", "Our own.", ["verb", "kind", "status"], registry=CollectorRegistry())
            cluster = connect(Path(kubeconfig), namespace, requests)
            secret = str(read_json(stand.stack.home.secrets_file)["runner"])
            runners = Runners(stand.url, secret, cluster, pace)
            watch = Watch(cluster, runners.told)
            runners.start()
            watch.start()
            try:
                yield Fleet(stand, watch, runners, f"http://127.0.0.1:{port}/metrics")
            finally:
                watch.stop()
                runners.stop()


@contextmanager
def _namespace(kubeconfig: str) -> Iterator[str]:
    core = official.CoreV1Api(config.new_client_from_config(kubeconfig))
    name = f"cohort-fleet-{os.getpid()}"
    core.create_namespace({"metadata": {"name": name}})
    try:
        yield name
    finally:
        core.delete_namespace(name)


def _post(fleet: Fleet, number: int) -> str:
    tenant = _TENANTS[number % len(_TENANTS)]
    return fleet.post(tenant, "fleet", "ten steps", {"gpus": 1, "cpu": 4, "pool": "gpu"})


def _is_full(fleet: Fleet) -> bool:
    """Every step is submitted, and every Job there that the quotas allow."""
    by_quota = sum(min(_QUOTA.get(tenant, 10**9), _RUNS * _STEPS // len(_TENANTS)) for tenant in _TENANTS)
    return len(fleet.watch.jobs_there()) >= by_quota and len(fleet.attempts.live()) >= _RUNS * _STEPS


def _steady(fleet: Fleet) -> list[Figure]:
    """The controller's cost while nothing happens but heartbeats."""
    memory, before, began = [], fleet.controller_cpu(), time.monotonic()
    while time.monotonic() < began + _STEADY_SECONDS:
        memory.append(fleet.controller_mib())
        time.sleep(1.0)
    share = (fleet.controller_cpu() - before) / (time.monotonic() - began)
    live, jobs = len(fleet.attempts.live()), len(fleet.watch.jobs_there())
    return [
        figure(f"controller memory, {live} live steps ({jobs} Jobs)", "MiB", memory, bar=150),
        figure("controller CPU meanwhile", "% of a core", [share * 100]),
    ]


@dataclass(frozen=True)
class Probes:
    """Runs of one step each, posted to the full fleet."""

    runs: list[str]
    figures: list[Figure]


def _probe(fleet: Fleet, pace: Pace) -> Probes:
    runs, began = [], time.monotonic()
    for number in range(_PROBES):
        time.sleep(max(0.0, began + number / _PROBES_PER_SECOND - time.monotonic()))
        runs.append(fleet.post(_PROBE_TENANT, "train-fast", "run `true`", {"cpu": 0.1, "pool": "cpu"}))
    attempts = [f"{run}-train-1" for run in runs]
    _until(lambda: all(_is_running(fleet, run) for run in runs), _PROBE_SECONDS, "probes do not run")
    to_cancel, to_end = attempts[::2], attempts[1::2]
    cancelled = {}
    for attempt in to_cancel:
        cancelled[attempt] = time.time()
        fleet.cancel(_PROBE_TENANT, attempt.partition("-")[0])
        time.sleep(1 / _PROBES_PER_SECOND)
        pace.at_once.add(to_end[len(cancelled) - 1])
    _until(lambda: _are_over(fleet, runs), _PROBE_SECONDS, "probes do not end")
    went = {name: fleet.watch.pods[name].told_to_go or time.time() for name in to_cancel}
    return Probes(
        runs,
        [
            figure("step submitted to Job there, full fleet", "s", _creations(fleet, runs), bar=1, of="p99"),
            figure(
                "program's end to the run's event, full fleet",
                "s",
                _ends(fleet, [name.partition("-")[0] for name in to_end]),
                bar=3,
                of="p99",
            ),
            figure(
                "cancel asked for to pod told, full fleet",
                "s",
                [went[name] - cancelled[name] for name in to_cancel],
                bar=3,
                of="p99",
            ),
        ],
    )


def _is_running(fleet: Fleet, run: str) -> bool:
    return any(step.last.status == "running" for step in _state(fleet, run).steps.values())


def _are_over(fleet: Fleet, runs: list[str]) -> bool:
    return all(_state(fleet, run).status.is_final for run in runs)


def _creations(fleet: Fleet, runs: list[str]) -> list[float]:
    """Seconds from the event that a step was submitted until its Job was seen."""
    return [fleet.watch.jobs[attempt].came - at for attempt, at in _told(fleet, runs, ev.StepSubmitted).items()]


def _ends(fleet: Fleet, runs: list[str]) -> list[float]:
    """Seconds from the end of a program until its run's log says how it ended."""
    finished = _told(fleet, runs, ev.AttemptFinished)
    return [finished[attempt] - at for attempt, at in fleet.runners.ended.items() if attempt in finished]


def _told(fleet: Fleet, runs: list[str], kind: type[ev.StepSubmitted] | type[ev.AttemptFinished]) -> dict[str, float]:
    """When the runs' logs told this of which attempt."""
    every = (event for run in runs for event in fleet.stand.store.events(run))
    return {event.data.attempt: event.time for event in every if isinstance(event.data, kind)}


def _wrong(fleet: Fleet, runs: list[str]) -> Iterator[str]:
    yield from (f"had more than one Job or pod: {name}" for name in fleet.watch.doubled())
    for tenant, quota in _QUOTA.items():
        if fleet.watch.most_gpus[tenant] > quota:
            yield f"{tenant} held {fleet.watch.most_gpus[tenant]} GPUs at one moment, and may hold {quota}"
        if fleet.watch.most_gpus[tenant] < quota:
            yield f"{tenant} never held its whole quota of {quota}: only {fleet.watch.most_gpus[tenant]}"
    for run in runs:
        state = _state(fleet, run)
        if state.exit_code != 0:
            yield f"run {run} ended as {state.status}: {state.reason} {state.detail}"
        for step in state.steps.values():
            if [attempt.status for attempt in step.attempts] != ["succeeded"]:
                yield f"{run}: step {step.name} took {[(one.status, one.reason) for one in step.attempts]}"
    yield from fleet.runners.errors


def _state(fleet: Fleet, run: str) -> RunState:
    return fleet.stand.store.state(run)


def _until(condition: Callable[[], bool], seconds: float, message: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds:g} s: {message}")
        time.sleep(0.5)
