"""A shim and a sidecar as real processes over a directory of the test's own."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from services.core.errors import CohortError
from services.runner import shim
from services.runner.metrics import MetricReader
from services.runner.ship import AttemptClient, Halt
from services.runner.sidecar import Assignment, Sidecar
from services.runner.spool import Settlement, Spool
from tests.runner.ingest import TOKEN, Ingest
from tests.servers import wait_until as wait_for

ATTEMPT = "rk3v9x2m4q8aa-train-1"
# Long enough for a machine that does ten other things: what hangs is found all the same.
wait_until = partial(wait_for, timeout=60)
PYTHONPATH = str(Path(__file__).parents[2])


@dataclass
class Rig:
    """One attempt's directory, and the processes started over it."""

    directory: Path
    ingest: Ingest
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spool = Spool(self.directory / "spool")
        self.work = self.directory / "work"
        self.out = self.directory / "out"
        self.checkpoint = self.directory / "checkpoint"
        for directory in (self.spool.directory, self.work, self.out, self.checkpoint):
            directory.mkdir()

    @property
    def kept(self) -> Any:
        return self.ingest.attempts[ATTEMPT]

    @property
    def log(self) -> bytes:
        return self.spool.log.read_bytes() if self.spool.log.exists() else b""

    def shim(self, *command: str, claimed: bool | None = True, **options: Any) -> "subprocess.Popen[bytes]":
        """A shim that runs `command`. `claimed`: what claim.json says, None for no such file yet."""
        if claimed is not None:
            (self.spool.directory / "claim.json").write_text(json.dumps({"claimed": claimed}))
        arguments = {
            "deadline": 60,
            "grace": 0.5,
            "claim": 30,
            "memory": None,
            **options,
        }
        process_options = {key: arguments.pop(key) for key in ("stdout", "preexec_fn", "env") if key in arguments}
        names = {
            "deadline": "--deadline-seconds",
            "grace": "--grace-seconds",
            "claim": "--claim-seconds",
        }
        names |= {"memory": "--memory-bytes", "termination_log": "--termination-log", "past": "--env"}
        flags = [text for key, value in arguments.items() if value is not None for text in (names[key], str(value))]
        places = ["--spool", str(self.spool.directory), "--cwd", str(self.work)]
        return self._start(
            [
                sys.executable,
                "-I",
                "-S",
                shim.__file__,
                *places,
                *flags,
                "--",
                *command,
            ],
            **{"stdout": subprocess.DEVNULL, **process_options},
        )

    def python(self, source: str, **options: Any) -> "subprocess.Popen[bytes]":
        """A shim that runs `source` as a Python program."""
        return self.shim(sys.executable, "-c", source, **options)

    def sidecar(
        self,
        command: Sequence[str] = ("-m", "services.runner"),
        token: str = TOKEN,
        **environment: str,
    ) -> "subprocess.Popen[bytes]":
        """A sidecar of this attempt, with its token on stdin."""
        process = self._start(
            [sys.executable, "-P", *command],
            cwd="/",
            stdin=subprocess.PIPE,
            env={
                "PYTHONPATH": PYTHONPATH,
                "COHORT_ATTEMPT": ATTEMPT,
                "COHORT_POD_UID": "uid-1",
                "COHORT_API_URL": self.ingest.url,
                "COHORT_SPOOL_DIR": str(self.spool.directory),
                "COHORT_OUTPUT_DIR": str(self.out),
                "COHORT_CHECKPOINT_DIR": str(self.checkpoint),
                "COHORT_CHECKPOINT_QUIET_SECONDS": "0.3",
                "COHORT_HEARTBEAT_SECONDS": "0.1",
                **environment,
            },
        )
        assert process.stdin
        with process.stdin:
            process.stdin.write(token.encode() + b"\n")
        return process

    def tend(self, reader: MetricReader | None = None) -> "Future[Settlement]":
        """A sidecar of this attempt on a thread."""
        halt, outcome = Halt(), Future[Settlement]()
        self.halts.append(halt)
        headers = {"Authorization": f"Bearer {TOKEN}"}

        def work() -> None:
            assignment = Assignment(ATTEMPT, "uid-1", self.spool, self.out, heartbeat_seconds=0.1)
            with httpx.Client(base_url=self.ingest.url, headers=headers) as http:
                client = AttemptClient(http, ATTEMPT, halt)
                try:
                    settlement = Sidecar(assignment, client, halt, reader or MetricReader()).run()
                except CohortError as error:
                    outcome.set_exception(error)
                    return
            outcome.set_result(settlement)

        threading.Thread(target=work, daemon=True).start()
        return outcome

    def halt_all(self) -> None:
        """Stop the sidecars on threads, as if they had been killed between two calls."""
        for halt in self.halts:
            halt.stop()

    def report(self) -> dict[str, Any]:
        """exit.json."""
        return dict(json.loads((self.spool.directory / "exit.json").read_bytes()))

    def until_running(self) -> int:
        """Wait until the program has been started; returns its process group."""
        return wait_until(lambda: (record := self.spool.shim()) and record.pgid)

    def _start(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(command, **options)
        self.processes.append(process)
        return process


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return shim.stat_fields(pid)[0] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_file(path: Path) -> str:
    """What a program wrote into a file, once it is there."""
    return wait_until(lambda: path.exists() and path.read_text(), message=f"no {path.name}")
