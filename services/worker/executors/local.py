"""Attempts as process groups on this machine: the embedded default, with the same shim, sidecar and protocol as pods.

One directory per attempt: `spec.json`, `work/` (the program's own copy of the workspace), `in/`, `out/`, `checkpoint/`,
`spool/`. The directory and two locks in it are all the state there is, so executors may die and be replaced while
programs run on. The program runs as the executor's user: this isolates attempts from accidents, not from malice.
"""

import fcntl
import json
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import structlog

import services
from services.core.artifacts import ArtifactStore
from services.core.errors import BadRequest
from services.core.faults import reach
from services.core.pool_states import Room
from services.core.pools import LOCAL
from services.core.workspace import Workspace
from services.runner import shim
from services.runner.follow import LogFile, lost
from services.runner.spool import ExitReason, ExitRecord, Spool, is_held
from services.worker.executors import MOST_REMAINS_BYTES, AttemptBusy, AttemptSpec, Observed, Phase, Remains
from services.worker.executors.detached import Detached
from services.worker.executors.environment import launch_environment, program_environment
from services.worker.executors.laying import Laid, lay

log = structlog.get_logger()

_ATTEMPT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LEAVING_SECONDS = 2.0
_REMOVED = ".removed-"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LocalExecutor:
    """`Executor` on this machine; threads may share it. `python` is the interpreter that the program finds so named."""

    def __init__(
        self, directory: Path, artifacts: ArtifactStore, workspace: Workspace, python: str = sys.executable
    ) -> None:
        self._directory = directory.absolute()
        self._artifacts = artifacts
        self._workspace = workspace
        self._python = python
        self._detached = Detached()
        self._sidecars: dict[str, int] = {}

    def submit(self, spec: AttemptSpec) -> None:
        """See `Executor`. Raises `BadRequest` for several nodes, and what `laying.lay` raises, with nothing started."""
        if spec.resources.nodes > 1:
            raise BadRequest(f"this machine is one node, and {spec.attempt} needs {spec.resources.nodes}", "nodes")
        home = self._home(spec.attempt)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        reach("executor.made")
        with _locked(home):
            spool = Spool(home / "spool")
            if spool.settlement() is not None:
                return
            record = spool.shim()
            if record is None or record.pgid is None:
                self._lay(home, spec)
                if spool.exit() is None and not is_held(spool.shim_lock):
                    self._spawn_shim(home, spec)
                    reach("executor.shim_spawned")
            if not self._has_sidecar(spec.attempt, spool):
                self._sidecars[spec.attempt] = self._spawn_sidecar(home, spec)
                reach("executor.sidecar_spawned")

    def inspect(self, attempt: str) -> Observed:
        """See `Executor`."""
        self._detached.reap()
        home = self._home(attempt)
        if not home.is_dir():
            return Observed(attempt, Phase.ABSENT)
        spool = Spool(home / "spool")
        phase, record = _stand(home, spool)
        settlement = spool.settlement()
        has_shim = phase is not Phase.STARTING or is_held(spool.shim_lock)
        tended = settlement is not None or (has_shim and self._has_sidecar(attempt, spool))
        return Observed(attempt, phase, record, record.reason.value if record else "", tended)

    def cancel(self, attempt: str) -> None:
        """See `Executor`."""
        home = self._home(attempt)
        if not home.is_dir():
            return
        spool = Spool(home / "spool")
        spool.directory.mkdir(exist_ok=True)
        spool.cancel()
        lost(spool, home / "out")

    def list(self) -> Sequence[str]:
        """See `Executor`."""
        if not self._directory.is_dir():
            return []
        return sorted(path.name for path in self._directory.iterdir() if _ATTEMPT.fullmatch(path.name))

    def watch(self, told: Callable[[str], None]) -> None:
        """See `Executor`. Nobody is told anything: what happens here without a runner's word is found by looking."""

    def remains(self, attempt: str, rank: int = 0) -> Remains | None:
        """See `Executor`."""
        with closing(LogFile(Spool(self._home(attempt) / "spool").log)) as file:
            size = file.size()
            before = max(0, size - MOST_REMAINS_BYTES)
            data = file.read(before, size - before)
        return Remains(data, before, size, is_exact=True) if data else None

    def rooms(self) -> Sequence[Room]:
        """See `Executor`. Programs here are given no share of the machine, so nothing is known to be free."""
        return (Room(name=LOCAL, nodes=1, cores=float(len(os.sched_getaffinity(0)))),)

    def remove(self, attempt: str) -> None:
        """See `Executor`."""
        home = self._home(attempt)
        if home.is_dir():
            with _locked(home):
                observed = self.inspect(attempt)
                if not observed.phase.is_over or not _is_left(Spool(home / "spool")):
                    raise AttemptBusy(f"attempt {attempt} is {observed.phase}; cancel it or wait before removing it")
                # Moved away first: a half-removed directory must not look like an attempt.
                home.rename(self._directory / f"{_REMOVED}{uuid.uuid4().hex}")
                self._sidecars.pop(attempt, None)
        for trash in self._directory.glob(f"{_REMOVED}*"):
            _remove_tree(trash)

    def _has_sidecar(self, attempt: str, spool: Spool) -> bool:
        """Whether a sidecar is at work, or has been started here and is on its way to its lock."""
        started = self._sidecars.get(attempt)
        return is_held(spool.sidecar_lock) or (started is not None and self._detached.is_alive(started))

    def _home(self, attempt: str) -> Path:
        if not _ATTEMPT.fullmatch(attempt):
            raise BadRequest(f"{attempt[:80]!a} is no attempt id; use lower-case letters, digits and '-'", "attempt")
        return self._directory / attempt

    def _lay(self, home: Path, spec: AttemptSpec) -> None:
        """Put the files in place, unless that was done since the machine started; `spec.json` says so."""
        done = shim.read_json(str(home / "spec.json"))
        if done is not None and done.get("laid_on_boot") == shim.boot_id():
            return
        for name in ("work", "in", "out", "checkpoint"):
            _remove_tree(home / name)
            (home / name).mkdir()
        (home / "spool").mkdir(exist_ok=True)
        self._lay_snapshot(home / "work", spec.snapshot)
        if spec.restores:
            self._lay_snapshot(home / "checkpoint", spec.restores)
        for step, files in spec.inputs.items():
            lay(home / "in", (Laid(f"{step}/{file.path}", file.sha256) for file in files), self._artifacts)
        record = {
            "attempt": spec.attempt,
            "command": spec.command,
            "snapshot": spec.snapshot,
            "tenant": spec.tenant,
            "pod_uid": (done or {}).get("pod_uid") or str(uuid.uuid4()),
            "laid_on_boot": shim.boot_id(),
        }
        shim.write_json(str(home / "spec.json"), record)
        reach("executor.laid")

    def _lay_snapshot(self, directory: Path, snapshot: str) -> None:
        entries = self._workspace.list(snapshot)
        lay(directory, (Laid(entry.path, entry.sha256, entry.mode) for entry in entries), self._artifacts)

    def _spawn_shim(self, home: Path, spec: AttemptSpec) -> None:
        limits = ["--deadline-seconds", str(spec.deadline_seconds), "--grace-seconds", str(spec.grace_seconds)]
        if spec.memory_bytes is not None:
            limits += ["--memory-bytes", str(spec.memory_bytes)]
        places = ["--spool", str(home / "spool"), "--cwd", str(home / "work")]
        command = [sys.executable, "-I", "-S", str(Path(shim.__file__)), *places, *limits, "--", *spec.command]
        self._detached.spawn(command, environment_of(spec, home, self._python), home / "shim.err")

    def _spawn_sidecar(self, home: Path, spec: AttemptSpec) -> int:
        environment = {
            "PATH": _SYSTEM_PATH,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(services.__path__[0]).parent),
            "COHORT_ATTEMPT": spec.attempt,
            "COHORT_POD_UID": json.loads((home / "spec.json").read_bytes())["pod_uid"],
            "COHORT_API_URL": spec.api_url,
            "COHORT_SPOOL_DIR": str(home / "spool"),
            "COHORT_OUTPUT_DIR": str(home / "out"),
            "COHORT_CHECKPOINT_DIR": str(home / "checkpoint"),
        }
        if spec.memory_bytes is not None:
            environment["COHORT_MEMORY_LIMIT_BYTES"] = str(spec.memory_bytes)
        # -P: what lies in the current directory is never imported.
        command = [sys.executable, "-P", "-m", "services.runner"]
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb"), os.fdopen(writing, "wb") as stdin:
            pid = self._detached.spawn(command, environment, home / "sidecar.log", stdin=reading)
            # Fits into the pipe, so nobody waits for the sidecar to read it.
            stdin.write(f"{spec.token.get_secret_value()}\n".encode())
        return pid


def environment_of(spec: AttemptSpec, home: Path, python: str) -> dict[str, str]:
    """The environment of a program on this machine, which finds `python`'s directory first. A PATH of the step's own
    counts."""
    path = {"PATH": f"{Path(python).parent}:{_SYSTEM_PATH}"}
    return {**path, **launch_environment(spec, "0", "127.0.0.1"), **program_environment(spec, str(home))}


def _stand(home: Path, spool: Spool) -> tuple[Phase, ExitRecord | None]:
    """How far the attempt has come, and how it ended. Ends what a dead shim left running."""
    record = spool.shim()
    has_started = record is not None and record.pgid is not None
    if is_held(spool.shim_lock):
        # A report beside a living shim is not its own yet.
        return (Phase.RUNNING if has_started else Phase.STARTING), None
    reported = spool.exit()
    if reported is not None:
        return Phase.FINISHED, reported
    if has_started:
        found = lost(spool, home / "out")
        if found is None:
            return Phase.RUNNING, None
        return (Phase.LOST if found.reason is ExitReason.SHIM_LOST else Phase.FINISHED), found
    cancelled_at = spool.cancelled_at()
    if cancelled_at is not None:
        # Any shim that still comes sees the cancel and starts nothing.
        return Phase.FINISHED, ExitRecord(
            exit_code=None,
            signal=None,
            reason=ExitReason.CANCELLED,
            started=cancelled_at,
            finished=cancelled_at,
            bytes=0,
        )
    return Phase.STARTING, None


def _is_left(spool: Spool) -> bool:
    """Whether no sidecar is at work. One that has just had its last answer is given a moment to go."""
    give_up = time.monotonic() + _LEAVING_SECONDS
    while is_held(spool.sidecar_lock):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the attempt against other executors, threads and processes alike."""
    while True:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(home / "executor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, home / "executor.lock"):
                yield
                return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file still is the one at `path`: the attempt may have been removed while we waited."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove_tree(directory: Path) -> None:
    """Remove a program's directory even where it took its own permissions away."""
    for parent, names, _ in os.walk(directory):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)
