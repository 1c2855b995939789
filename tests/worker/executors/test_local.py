"""The local executor: the contract, and what only a machine of one's own can go through."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.core.artifacts import ArtifactStore
from services.core.errors import BadRequest
from services.core.records import FileRef
from services.core.resources import Resources
from services.core.workspace import EMPTY, Change, Workspace
from services.runner import shim
from services.runner.processes import end_survivors, look
from services.runner.spool import Spool, is_held
from services.worker.executors import AttemptSpec, Phase
from services.worker.executors.local import LocalExecutor, environment_of
from tests.runner.ingest import TOKEN, Ingest, Kept
from tests.runner.rig import wait_until
from tests.worker.executors.contract import (
    ENDLESS,
    ExecutorContract,
    until,
    until_over,
    until_said,
    until_settled,
)

RUN = "rk3v9x2m4q8aa"
REPOSITORY = str(Path(__file__).parents[3])


class LocalWorld:
    """A directory, an artifact store and a server of the runner's protocol."""

    revives_sidecars = False

    def __init__(self, directory: Path, ingest: Ingest) -> None:
        self.directory = directory / "attempts"
        self.artifacts = ArtifactStore(f"file://{directory}/artifacts")
        self.workspace = Workspace(self.artifacts)
        self.ingest = ingest
        self.executor = self.another_executor()
        self._numbers = itertools.count(1)

    def another_executor(self) -> LocalExecutor:
        return LocalExecutor(self.directory, self.artifacts, self.workspace)

    def spec(self, script: str, **changes: Any) -> AttemptSpec:
        number = next(self._numbers)
        spec = AttemptSpec(
            attempt=f"{RUN}-train-{number}",
            run=RUN,
            step="train",
            number=number,
            tenant="acme",
            command=("sh", "-c", script),
            snapshot=EMPTY,
            deadline_seconds=60,
            grace_seconds=5,
            api_url=self.ingest.url,
            token=SecretStr(TOKEN),
        )
        return replace(spec, **changes)

    def snapshot(self, files: dict[str, bytes]) -> str:
        return self.workspace.apply(EMPTY, [Change(path, data) for path, data in files.items()])

    def output(self, path: str, data: bytes) -> FileRef:
        return FileRef(path=path, sha256=self.artifacts.put(data), size=len(data))

    def kept(self, attempt: str) -> Kept:
        return self.ingest.attempts[attempt]

    def spool(self, attempt: str) -> Spool:
        return Spool(self.directory / attempt / "spool")

    def kill_sidecar(self, attempt: str) -> None:
        for pid in processes_with(f"COHORT_SPOOL_DIR={self.spool(attempt).directory}"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_held(self.spool(attempt).sidecar_lock))

    def kill_shim(self, attempt: str) -> None:
        record = self.spool(attempt).shim()
        assert record
        os.kill(record.pid, signal.SIGKILL)
        wait_until(lambda: look(record.pid) is None)

    def survivors(self, attempt: str) -> Sequence[int]:
        # The shim itself has the program's environment, and lives a moment longer.
        record = self.spool(attempt).shim()
        found = processes_with(f"COHORT_INPUT_DIR={self.directory / attempt / 'in'}")
        return [pid for pid in found if record is None or pid != record.pid]

    def end(self) -> None:
        """Kill whatever the test left."""
        for home in self.directory.glob(f"{RUN}-*"):
            self.kill_sidecar(home.name)
            record = self.spool(home.name).shim()
            if record:
                shim.signal_process(record.pid, signal.SIGKILL)
                end_survivors(record, home / "out")


def processes_with(entry: str) -> list[int]:
    """Living processes that were started with this line in their environment."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and entry.encode() in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                found.append(int(name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return [pid for pid in found if look(pid)]


@pytest.fixture(scope="module")
def ingest_process() -> Iterator[Ingest]:
    server = Ingest()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def world(tmp_path: Path, ingest_process: Ingest) -> Iterator[LocalWorld]:
    ingest_process.reset()
    world = LocalWorld(tmp_path, ingest_process)
    yield world
    world.end()


def test_a_sidecar_on_its_way_is_not_started_twice(world: LocalWorld) -> None:
    spec = world.spec(ENDLESS)
    for _ in range(5):
        world.executor.submit(spec)
    assert len(processes_with(f"COHORT_SPOOL_DIR={world.spool(spec.attempt).directory}")) == 1


class TestLocalExecutor(ExecutorContract):
    """The contract."""


SUBMITTER = """
import os, signal, sys
from pathlib import Path
from pydantic import SecretStr
from services.core import faults
from services.core.artifacts import ArtifactStore
from services.core.workspace import Workspace
from services.worker.executors import AttemptSpec
from services.worker.executors.local import LocalExecutor

directory, artifacts, attempt, snapshot, url, script, boundary = sys.argv[1:]
store = ArtifactStore(artifacts)
faults.install(lambda name: name == boundary and os.kill(os.getpid(), signal.SIGKILL))
LocalExecutor(Path(directory), store, Workspace(store)).submit(AttemptSpec(
    attempt=attempt, run="r", step="train", number=1, tenant="acme", command=("sh", "-c", script), snapshot=snapshot,
    deadline_seconds=60, grace_seconds=5, api_url=url, token=SecretStr("token-that-nobody-else-may-see"),
))
"""


def submit_from_another_process(world: LocalWorld, spec: AttemptSpec, boundary: str = "") -> "subprocess.Popen[bytes]":
    """Submit from a process that is killed when it reaches `boundary`."""
    places = [str(world.directory), world.artifacts.url, spec.attempt, spec.snapshot, spec.api_url, spec.command[2]]
    return subprocess.Popen([sys.executable, "-c", SUBMITTER, *places, boundary], env={"PYTHONPATH": REPOSITORY})


@pytest.mark.parametrize(
    "boundary", ["executor.made", "executor.laid", "executor.shim_spawned", "executor.sidecar_spawned"]
)
def test_an_executor_killed_while_it_submits_is_continued_by_the_next(world: LocalWorld, boundary: str) -> None:
    spec = world.spec("cat file", snapshot=world.snapshot({"file": b"content\n"}))
    assert submit_from_another_process(world, spec, boundary).wait(timeout=60) == -signal.SIGKILL
    assert not world.kept(spec.attempt).accepted
    world.executor.submit(spec)
    assert until_settled(world, spec.attempt).log == b"content\n"


def test_two_processes_that_submit_at_once_start_one_program(world: LocalWorld) -> None:
    spec = world.spec("echo ran")
    both = [submit_from_another_process(world, spec) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert until_settled(world, spec.attempt).log == b"ran\n"


def test_a_program_outlives_the_executor_that_started_it(world: LocalWorld) -> None:
    spec = world.spec("echo started; sleep 1.5; echo ended")
    assert submit_from_another_process(world, spec).wait(timeout=60) == 0
    until_said(world, spec.attempt, b"started")
    assert world.executor.inspect(spec.attempt).phase is Phase.RUNNING
    assert until_settled(world, spec.attempt).log == b"started\nended\n"


def test_an_attempt_from_before_a_reboot_is_lost_and_nobody_else_is_hit(world: LocalWorld) -> None:
    spec = world.spec("sleep 600")
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        spool = world.spool(spec.attempt)
        spool.directory.mkdir(parents=True)
        fields = {"pid": 1, "start_ticks": 5, "pid_namespace": os.readlink("/proc/self/ns/pid"), "pgid": bystander.pid}
        record = {**fields, "boot_id": "an-earlier-boot", "pgid_start_ticks": 5, "started": 1.0}
        (spool.directory / "shim.json").write_text(json.dumps(record))
        (spool.directory / "log").write_bytes(b"before\n")
        (world.directory / spec.attempt / "spec.json").write_text(json.dumps({"pod_uid": "u", "laid_on_boot": "x"}))
        assert world.executor.inspect(spec.attempt).phase is Phase.LOST
        world.executor.submit(spec)
        kept = until_settled(world, spec.attempt)
        assert (kept.log, kept.accepted and kept.accepted["reason"]) == (b"before\n", "shim_lost")
        assert look(bystander.pid)
    finally:
        bystander.kill()
        bystander.wait()


def test_an_attempt_cancelled_before_it_was_started_never_starts(world: LocalWorld) -> None:
    spec = world.spec("echo ran")
    submit_from_another_process(world, spec, "executor.made").wait(timeout=60)
    assert world.executor.inspect(spec.attempt).phase is Phase.STARTING
    world.executor.cancel(spec.attempt)
    assert world.executor.inspect(spec.attempt).reason == "cancelled"
    world.executor.submit(spec)
    kept = until_settled(world, spec.attempt)
    assert (bytes(kept.log), kept.accepted and kept.accepted["reason"]) == (b"", "cancelled")


def test_zombies_of_ours_do_not_look_alive(world: LocalWorld) -> None:
    spec = world.spec("true")
    world.executor.submit(spec)
    until_settled(world, spec.attempt)
    record = world.spool(spec.attempt).shim()
    assert record
    wait_until(lambda: world.executor.inspect(spec.attempt) and not Path(f"/proc/{record.pid}").exists())


def test_nothing_of_the_token_reaches_the_disk(world: LocalWorld) -> None:
    spec = world.spec("true")
    world.executor.submit(spec)
    until_settled(world, spec.attempt)
    files = [path for path in (world.directory / spec.attempt).rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_an_output_that_took_its_own_permissions_away_is_removed_all_the_same(world: LocalWorld) -> None:
    spec = world.spec("mkdir -p a/b && touch a/b/c && chmod 0 a/b a && ln -s /etc link")
    world.executor.submit(spec)
    until_settled(world, spec.attempt)
    until(world, spec.attempt, lambda seen: not is_held(world.spool(spec.attempt).sidecar_lock))
    world.executor.remove(spec.attempt)
    assert list(world.directory.iterdir()) == []


@pytest.mark.parametrize("attempt", ["", "../x", "a/b", "A", "-a", "a" * 64, ".removed-1", "a\n"])
def test_what_is_no_attempt_id_is_refused(world: LocalWorld, attempt: str) -> None:
    with pytest.raises(BadRequest):
        world.executor.inspect(attempt)


def test_an_input_that_points_out_of_its_directory_starts_nothing(world: LocalWorld) -> None:
    spec = world.spec("true", inputs={"prepare": [world.output("../../../x", b"")]})
    with pytest.raises(BadRequest):
        world.executor.submit(spec)
    assert world.executor.inspect(spec.attempt).phase is Phase.STARTING
    assert not world.executor.inspect(spec.attempt).tended


def test_memory_is_limited_where_the_step_says_so(world: LocalWorld) -> None:
    source = f"{sys.executable} -c 'bytearray(1 << 30)'"
    spec = world.spec(source, memory_bytes=512 << 20)
    world.executor.submit(spec)
    assert b"MemoryError" in until_settled(world, spec.attempt).log


def test_the_program_finds_the_given_python_first_and_lives_in_its_work_directory(world: LocalWorld) -> None:
    environment = environment_of(world.spec("true"), Path("/attempt"), "/venv/bin/python")
    assert environment["PATH"].startswith("/venv/bin:")
    assert environment["HOME"] == "/attempt/work"


def test_the_program_is_not_slowed_by_a_server_that_is_down(world: LocalWorld) -> None:
    spec = world.spec(f"echo early; {ENDLESS}", api_url="http://127.0.0.1:9")
    world.executor.submit(spec)
    assert until(world, spec.attempt, lambda seen: seen.phase is Phase.STARTING and seen.tended)
    world.executor.cancel(spec.attempt)
    assert until_over(world, spec.attempt).reason == "cancelled"


def test_several_nodes_are_refused_and_nothing_is_started(world: LocalWorld) -> None:
    spec = world.spec("echo ran", resources=Resources(nodes=2))
    with pytest.raises(BadRequest, match="this machine is one node"):
        world.executor.submit(spec)
    assert world.executor.inspect(spec.attempt).phase is Phase.ABSENT


def test_a_program_on_several_gpus_is_told_how_many_processes_there_are(world: LocalWorld, tmp_path: Path) -> None:
    environment = environment_of(world.spec("true", resources=Resources(gpus=2)), tmp_path, sys.executable)
    assert (environment["PET_NPROC_PER_NODE"], environment["MASTER_ADDR"]) == ("2", "127.0.0.1")
    assert "PET_NPROC_PER_NODE" not in environment_of(world.spec("true"), tmp_path, sys.executable)
