"""The agent's commands in real pods: a real API and Redis, the controller's rounds, the tool as the agent has it."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from services.api.app import create_app
from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.keys import Keys
from services.core.ledger import Ledger
from services.core.lifecycle import Status
from services.core.logs import LogStore
from services.core.payload import Payloads
from services.core.pools import Pools
from services.core.records import Attempt
from services.core.redis import Client
from services.core.resources import Resources
from services.core.sandboxes import SANDBOX, SandboxStore
from services.core.store import RunStore
from services.core.workspace import Workspace
from services.worker.controller.attempts import Reconciler, Terms
from services.worker.research import Researches
from services.worker.shells import OutcomeUnknown
from services.worker.shells.sandbox import SandboxShell, SandboxTerms
from services.worker.tools.tool import Desk, Park, Result
from tests.api.conftest import SECRET, Told, parts_on
from tests.api.server import serving
from tests.cluster.admin import Admin, wait_until
from tests.cluster.world import KubernetesWorld
from tests.worker.bench import Bench
from tests.worker.controller.conftest import go_round

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

POOLS = Pools.local(1.0)
# The number stands in no command line but that of the program that sleeps.
LONG, SLEEPS = "sleep $((1000 + 234))", "1234"


class Rounds:
    """The controller, on a thread."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Rounds":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopped.wait(0.2):
            go_round(self._reconciler)


@pytest.fixture
def bench(
    world: KubernetesWorld,
    admin: Admin,
    store: RunStore,
    client: Client,
    keys: Keys,
    artifacts: ArtifactStore,
    redis_url: str,
    tmp_path: Path,
) -> Iterator[Bench]:
    """A run whose commands run in pods."""
    parts = parts_on(redis_url, tmp_path / "artifacts")
    server = serving(create_app(parts), parts.hub, admin.address())
    ledger, attempts, logs = Ledger(client), AttemptStore(client, keys), LogStore(client, keys, artifacts)
    terms = Terms(api_url=server.url, runner_secret=SECRET, grace_seconds=5, finish_seconds=30, pools=POOLS)
    sandboxes = SandboxStore(client, keys, Payloads(artifacts))
    small = Resources(cpu=0.2, memory=256 << 20)
    shell = SandboxShell(store, sandboxes, ledger, artifacts, POOLS, SandboxTerms(900, 3600, small))
    desk = Desk(Workspace(artifacts), artifacts, attempts, logs, ledger, shell, POOLS, Researches(store, Told()))
    with Rounds(Reconciler(store, attempts, logs, ledger, world.executor, Told(), terms)):
        yield Bench(desk, store)
    server.stop()


def sandboxes_of(bench: Bench) -> tuple[Attempt, ...]:
    return bench.state.steps[SANDBOX].attempts


def beside(pool: ThreadPoolExecutor, bench: Bench, command: str) -> "Future[Result | Park]":
    return pool.submit(bench.outcome, "bash", command=command)


def until_said(bench: Bench, world: KubernetesWorld, text: str, number: int = 1) -> str:
    """Wait until a command at work in the sandbox is seen by the node; returns the sandbox's attempt."""
    attempt = f"{bench.run}-{SANDBOX}-{number}"
    pod = world.pod(attempt)
    wait_until(lambda: world.admin.processes(pod.metadata.uid, text))
    return attempt


def test_a_command_runs_in_a_pod_with_the_files_and_its_changes_come_back(bench: Bench) -> None:
    bench.put("data/train.csv", "1,2\n")
    result = bench.use("bash", command="cat data/train.csv; hostname; echo new > new.txt; chmod +x new.txt; env")

    pod = f"{bench.run}-{SANDBOX}-1"
    assert result.text.startswith(f"exit code: 0\n1,2\n{pod}")
    assert "COHORT_" not in result.text
    assert bench.content("new.txt") == "new\n"
    assert bench.use("bash", command="cat new.txt; touch ~/kept; ls -a ~").text.startswith("exit code: 0\nnew\n")
    assert "kept" in bench.use("bash", command="ls ~; ls").text
    assert len(sandboxes_of(bench)) == 1
    files = {entry.path: entry.mode for entry in bench.desk.workspace.list(bench.state.snapshot)}
    assert files == {"data/train.csv": 0o644, "new.txt": 0o755}


def test_exit_codes_and_a_large_output_are_those_of_the_command(bench: Bench) -> None:
    assert bench.use("bash", command="exit 7").text.startswith("exit code: 7\n")
    assert "ended by: signalled" in bench.use("bash", command="kill -9 $$").text
    assert "stopped after 1 s" in bench.use("bash", command="sleep 60", timeout_seconds=1).text
    assert bench.use("bash", command="seq 1 200000").text.endswith("199999\n200000\n")


def test_a_command_that_wants_too_much_memory_does_not_take_the_run_with_it(bench: Bench) -> None:
    try:
        said = bench.use("bash", command="head -c 600m /dev/zero | tail").text
    except OutcomeUnknown as error:
        said = str(error)
    assert "exit code: 137" in said or "memory" in said
    assert bench.use("bash", command="echo again").text == "exit code: 0\nagain\n"


def test_a_sidecar_killed_in_the_middle_of_a_command_loses_nothing(bench: Bench, world: KubernetesWorld) -> None:
    with ThreadPoolExecutor(1) as pool:
        command = "echo begun; while [ ! -e go ]; do sleep 0.1; done; rm go; echo x > new.txt; echo ended"
        waiting = beside(pool, bench, f"(sleep 6; touch go) & {command}")
        world.kill_sidecar(until_said(bench, world, "echo begun"))
        result = waiting.result(timeout=120)
    assert isinstance(result, Result)
    assert result.text == "exit code: 0\nbegun\nended\n"
    assert [change.path for change in result.changes] == ["new.txt"]


def test_a_pod_that_dies_at_once_leaves_its_command_unknown_and_the_next_gets_a_new_pod(
    bench: Bench, world: KubernetesWorld
) -> None:
    bench.put("kept.txt", "kept\n")
    with ThreadPoolExecutor(1) as pool:
        waiting = beside(pool, bench, LONG)
        pod = world.pod(until_said(bench, world, SLEEPS))
        world.admin.kill(world.admin.processes(pod.metadata.uid, "/cohort"))
        world.admin.core.delete_namespaced_pod(pod.metadata.name, world.namespace, grace_period_seconds=0)
        with pytest.raises(OutcomeUnknown, match="unknown"):
            waiting.result(timeout=120)
    assert bench.use("bash", command="cat kept.txt").text == "exit code: 0\nkept\n"
    assert sandboxes_of(bench)[0].status == "lost"


def test_a_pod_told_to_go_stops_its_command_and_what_became_of_it_is_known(
    bench: Bench, world: KubernetesWorld
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = beside(pool, bench, f"echo half > half.txt; {LONG}")
        attempt = until_said(bench, world, SLEEPS)
        world.admin.core.delete_namespaced_pod(world.pod(attempt).metadata.name, world.namespace)
        result = waiting.result(timeout=120)
    assert isinstance(result, Result)
    assert "ended by: cancelled" in result.text
    assert [change.path for change in result.changes] == ["half.txt"]


def test_an_idle_sandbox_gives_its_pod_back_and_the_next_command_gets_another(
    bench: Bench, world: KubernetesWorld
) -> None:
    bench.use("bash", command="echo one > one.txt")
    bench.store.client.hset(bench.store.keys.sandbox(bench.run), "idle_ms", 1)
    wait_until(lambda: sandboxes_of(bench)[0].status == "succeeded")
    wait_until(lambda: not world.admin.pods(world.namespace))
    assert bench.use("bash", command="cat one.txt").text == "exit code: 0\none\n"
    assert len(sandboxes_of(bench)) == 2


def test_a_cancelled_run_holds_no_sandbox(bench: Bench, world: KubernetesWorld) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = beside(pool, bench, LONG)
        until_said(bench, world, SLEEPS)
        bench.record(ev.StatusChanged(source=Status.RUNNING, target=Status.CANCELLING))
        result = waiting.result(timeout=120)
    assert isinstance(result, Result)
    assert "ended by: cancelled" in result.text
    wait_until(lambda: not bench.state.live_attempts())
    assert [one.status for one in sandboxes_of(bench)] == ["cancelled"]
    wait_until(lambda: not world.admin.pods(world.namespace))
