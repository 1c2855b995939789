"""What a controller and a cluster make of sandboxes: a shim, a host and a sidecar each, as processes."""

import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from services.core.attempts import AttemptStore
from services.core.keys import run_of_attempt, step_of_attempt
from services.core.sandboxes import SANDBOX
from services.core.store import RunStore
from services.core.tokens import issue
from services.runner import host, shim
from services.runner.processes import end_survivors
from services.runner.spool import ExitReason, Spool
from tests.core.submitted import close_attempt
from tests.servers import wait_until

PYTHONPATH = str(Path(__file__).parents[2])
PYTHON = [sys.executable, "-I", "-S"]
SIDECAR = [sys.executable, "-P", "-m", "services.runner"]
DYING_SIDECAR = """
import os, runpy, signal, sys
from services.core import faults
point = sys.argv.pop()
faults.install(lambda name: name == point and os.kill(os.getpid(), signal.SIGKILL))
runpy.run_module("services.runner", run_name="__main__")
"""
_LOOK_SECONDS = 0.02


@dataclass
class Pod:
    """One sandbox's directory and processes."""

    attempt: str
    directory: Path
    api_url: str
    secret: str
    dies_at: str = ""
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spool = Spool(self.directory / "spool")
        for name in ("spool", "work", "out", "private"):
            (self.directory / name).mkdir(parents=True)
        places = ["--spool", str(self.spool.directory), "--cwd", str(self.directory / "work")]
        limits = ["--deadline-seconds", "600", "--grace-seconds", "5"]
        commands = ["--commands", str(self.spool.directory / "commands"), "--cwd", str(self.directory / "work")]
        served = [*PYTHON, host.__file__, *commands, "--grace-seconds", "1", "--", *PYTHON, shim.__file__]
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.directory / "work"),
            "COHORT_ATTEMPT": self.attempt,
            "COHORT_OUTPUT_DIR": str(self.directory / "out"),
            "COHORT_INPUT_DIR": str(self.directory / "in"),
        }
        self.shim = self._start([*PYTHON, shim.__file__, *places, *limits, "--", *served], environment)
        self._start_sidecar([sys.executable, "-P", "-c", DYING_SIDECAR, self.dies_at] if self.dies_at else SIDECAR)

    def start_sidecar(self) -> None:
        """As the kubelet does when it has died."""
        self._start_sidecar(SIDECAR)

    def _start_sidecar(self, command: list[str]) -> None:
        environment = {
            "PYTHONPATH": PYTHONPATH,
            "COHORT_ATTEMPT": self.attempt,
            "COHORT_POD_UID": f"uid-of-{self.attempt}",
            "COHORT_API_URL": self.api_url,
            "COHORT_SPOOL_DIR": str(self.spool.directory),
            "COHORT_OUTPUT_DIR": str(self.directory / "out"),
            "COHORT_WORK_DIR": str(self.directory / "work"),
            "COHORT_PRIVATE_DIR": str(self.directory / "private"),
            "COHORT_HEARTBEAT_SECONDS": "0.2",
        }
        self.sidecar = self._start(command, environment, cwd="/", stdin=subprocess.PIPE)
        assert self.sidecar.stdin
        with self.sidecar.stdin:
            self.sidecar.stdin.write(issue(self.secret, self.attempt, 4e9).encode() + b"\n")

    def kill_sidecar(self) -> None:
        self.sidecar.kill()
        self.sidecar.wait()

    def terminate(self) -> None:
        """As `kubectl delete pod`: the program is told first."""
        self.shim.terminate()

    def kill(self) -> None:
        """As a node that is lost: nobody says a word."""
        self.kill_sidecar()
        self.shim.kill()
        self.shim.wait()
        for place in [self.spool.directory, *(self.spool.directory / "commands").glob("call*")]:
            record = Spool(place).shim()
            if record is not None:
                end_survivors(record, self.directory / "out")

    @property
    def is_over(self) -> bool:
        return all(process.poll() is not None for process in (self.shim, self.sidecar))

    @property
    def outcome(self) -> str:
        record = self.spool.exit()
        if record is None or record.terminated:
            return "lost"
        if record.reason is ExitReason.CANCELLED:
            return "cancelled"
        return "succeeded" if record.exit_code == 0 else "failed"

    def _start(
        self, command: list[str], environment: dict[str, str], cwd: str = ".", stdin: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        log = (self.directory / "log").open("ab")
        with log:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=cwd,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.processes.append(process)
        return process


class Pods:
    """Starts what is submitted, ends what is not wanted, closes what is over. Use as a context manager."""

    def __init__(self, store: RunStore, attempts: AttemptStore, directory: Path, api_url: str, secret: str) -> None:
        self._store = store
        self._attempts = attempts
        self._directory = directory
        self._api_url = api_url
        self._secret = secret
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.is_full = False
        self.sidecars_die_at = ""
        self.pods: dict[str, Pod] = {}

    def __enter__(self) -> "Pods":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        for pod in self.pods.values():
            pod.kill()

    @property
    def last(self) -> Pod:
        return self.pods[max(self.pods, key=lambda attempt: int(attempt.rpartition("-")[2]))]

    def until_running(self, number: int = 1) -> Pod:
        """The sandbox of this number, once a command is at work in it."""
        wait_until(lambda: len(self.pods) >= number, 30)
        commands = self.last.spool.directory / "commands"
        wait_until(lambda: any((record := Spool(one).shim()) and record.pgid for one in commands.glob("call*")), 30)
        return self.last

    def _work(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            for attempt in self._attempts.live():
                if step_of_attempt(attempt) == SANDBOX:
                    self._see_to(attempt)

    def _see_to(self, attempt: str) -> None:
        pod = self.pods.get(attempt)
        step = self._store.state(run_of_attempt(attempt)).steps[SANDBOX]
        if pod is None and step.cancelling:
            close_attempt(self._store, attempt, "cancelled")
        elif pod is None:
            if not self.is_full:
                self.pods[attempt] = Pod(
                    attempt, self._directory / attempt, self._api_url, self._secret, self.sidecars_die_at
                )
        elif pod.is_over:
            close_attempt(self._store, attempt, pod.outcome, reason=f"its pod is over: {pod.outcome}")
        elif step.cancelling:
            pod.spool.cancel()
