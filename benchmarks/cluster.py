"""How soon things are known where steps run on a cluster: the one that KUBECONFIG names, with all services as its pods.

The clocks of the node and of this machine are compared, so they must be the same: it is for a cluster on this machine.
CLUSTER_TEST_TAG names the images.
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from benchmarks.figures import Figure, figure
from services.cli.client import ApiClient, path_of
from services.cli.commands.submit import post_goal
from services.cli.follow import Told, read_event
from services.cli.goal import Goal
from tests.cluster.admin import Admin, wait_until
from tests.cluster.installation import Installed, installed
from tests.cluster.programs import kubectl
from tests.cluster.witness import Witness

_PROGRAM = Path(__file__).parent / "programs" / "clock.py"
_STEP = "train"
_ROUNDS = 30
_AT_ONCE = 2
_LINES, _ENDLESS, _LINES_BEFORE_CANCEL = 20, 3_000, 5
_STARTS = 5
_WORKERS = "app.kubernetes.io/component=worker"
_SAID = re.compile(r"(printed|told|ended) at ([0-9.]+)")


@dataclass
class _Seen:
    """One run: when its program said what, and when that, or what came of it, was known. Seconds since the epoch."""

    run: str
    arrivals: list[tuple[str, float, float]] = field(default_factory=list)
    cancelled_at: float = 0.0
    load: float = 0.0

    @property
    def attempt(self) -> str:
        return f"{self.run}-{_STEP}-1"

    def said(self, what: str) -> list[tuple[float, float]]:
        """Every time it said so, and when the client had it."""
        return [(said, arrived) for word, said, arrived in self.arrivals if word == what]


def measure() -> list[Figure]:
    if "KUBECONFIG" not in os.environ:
        sys.exit("the benchmark `cluster` needs a cluster: set KUBECONFIG")
    with (
        closing(Admin()) as admin,
        installed(admin, {}) as cohort,
        Witness(admin.settings, cohort.steps) as witness,
    ):
        api = ApiClient(cohort.url, cohort.key("bench"))
        _observe(api, cancels=False)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            ended = list(pool.map(lambda _: _observe(api, cancels=False), range(_ROUNDS)))
            cancelled = list(pool.map(lambda _: _observe(api, cancels=True), range(_ROUNDS)))
        return [
            figure("helm install to ready", "s", [cohort.ready_seconds], bar=90),
            figure("worker's container started to first turn", "s", [*_to_turn(cohort, api)], bar=10, of="p99"),
            figure("step submitted to Job seen", "s", [*_to_job(api, witness, ended + cancelled)], bar=1, of="p99"),
            figure("last words of a program to its end on record", "s", [*_to_end(api, ended)], bar=3, of="p99"),
            figure("cancel asked for to SIGTERM in the program", "s", [*_to_signal(cancelled)], bar=3, of="p99"),
            figure("line printed in a pod to SSE client", "s", [*_to_client(ended)], bar=1, of="p99"),
            figure("load of the machine", "", [seen.load for seen in ended + cancelled]),
        ]


def _to_turn(cohort: Installed, api: ApiClient) -> Iterator[float]:
    """With no other worker, and a run that waits for one. The kubelet tells starts in whole seconds, cut off."""
    scale = ("scale", "deployment/cohort-worker", "-n", cohort.namespace)
    for _ in range(_STARTS):
        kubectl(*scale, "--replicas=0").check_returncode()
        wait_until(lambda: not cohort.admin.core.list_namespaced_pod(cohort.namespace, label_selector=_WORKERS).items)
        run = str(post_goal(api, Goal(text="turns=1", model="scripted/echo"), f"bench-{uuid4().hex}")["run"])
        kubectl(*scale, "--replicas=1").check_returncode()
        wait_until(lambda run=run: api.get(path_of("v1", "runs", run))["status"] == "succeeded")
        [pod] = cohort.pods("worker")
        started = pod.status.container_statuses[0].state.running.started_at.timestamp()
        yield _event(api, run, "processing").time - started


def _to_job(api: ApiClient, witness: Witness, runs: list[_Seen]) -> Iterator[float]:
    """Until the Job was seen by a watch of our own, which is a little later than it was there."""
    for seen in runs:
        yield min(witness.jobs[seen.attempt].values()) - _event(api, seen.run, "step_submitted").time


def _to_end(api: ApiClient, runs: list[_Seen]) -> Iterator[float]:
    """From the last line of the program: the cluster tells the end of a container in whole seconds only."""
    for seen in runs:
        [(said, _)] = seen.said("ended")
        yield _event(api, seen.run, "attempt_finished").time - said


def _to_signal(runs: list[_Seen]) -> Iterator[float]:
    for seen in runs:
        [(said, _)] = seen.said("told")
        yield said - seen.cancelled_at


def _to_client(runs: list[_Seen]) -> Iterator[float]:
    for seen in runs:
        yield from (arrived - said for said, arrived in seen.said("printed"))


def _observe(api: ApiClient, *, cancels: bool) -> _Seen:
    """One run from its goal to its end, with its log read as it is written."""
    goal = Goal(
        text=f"run `python clock.py {_ENDLESS if cancels else _LINES}`",
        model="scripted/train-fast",
        inputs=(("clock.py", _PROGRAM),),
        resources={"cpu": 0.4, "memory": "128Mi"},
    )
    seen = _Seen(str(post_goal(api, goal, f"bench-{uuid4().hex}")["run"]), load=os.getloadavg()[0])
    while not api.get(path_of("v1", "runs", seen.run))["steps"]:
        time.sleep(0.02)
    for message in api.stream(path_of("v1", "runs", seen.run, "steps", _STEP, "log", "stream")):
        arrived = time.time()
        if message.event == "log":
            said = _SAID.findall(json.loads(message.data)["text"])
            seen.arrivals += [(what, float(stamp), arrived) for what, stamp in said]
        if cancels and not seen.cancelled_at and len(seen.arrivals) >= _LINES_BEFORE_CANCEL:
            seen.cancelled_at = time.time()
            api.post(path_of("v1", "runs", seen.run, "cancel"), {"why": "it is measured"})
    return seen


def _event(api: ApiClient, run: str, kind: str) -> Told:
    items = api.get(path_of("v1", "runs", run, "events"), {"limit": 1000})["items"]
    return next(told for told in map(read_event, items) if told.kind == kind)
