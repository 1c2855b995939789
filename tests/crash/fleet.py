"""A whole Cohort for one test: real processes over a real Redis, restarted when they die, as Kubernetes would.

Nothing is restarted behind the test's back: processes are looked after while the test waits in `until`.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import redis
from redis.exceptions import RedisError

from services.core.artifacts import ArtifactStore
from services.core.errors import StoreUnavailable
from services.core.keys import Keys
from services.core.logs import LogStore
from services.core.payload import Payloads
from services.core.redis import connect
from services.core.store import RunStore
from tests.crash.nursery import Nursery
from tests.crash.plan import Fault, Plan
from tests.crash.processes import AttemptProcesses, Process, at_work_in
from tests.servers import RedisServer, free_port

T = TypeVar("T")

LEASE_SECONDS = 1.0
# A service with this in its name is on a machine of its own, which is gone for good when it dies.
AWAY = "-away"
SHARDS = 3
SECRET = "only-for-tests"
SLOTS = 8
MOST_RESTARTS = 300
_PAUSE_SECONDS = 0.02
_LOG_CHARS = 6_000
_EVENTS = 60
_EVENT_CHARS = 400


class Fleet:
    """The processes of one test, and the test's own view of the store. Use as a context manager."""

    def __init__(
        self,
        directory: Path,
        server: RedisServer,
        nursery: Nursery,
        model_url: str,
        services: Sequence[str],
        faults: Sequence[Fault] = (),
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.directory = directory
        self.redis = server
        self.plan = Plan(directory / "plan")
        self.plan.make(*faults)
        self.place = directory / "place"
        self.place.mkdir()
        self.artifacts = ArtifactStore(f"file://{directory}/artifacts")
        self.keys = Keys(SHARDS)
        self.client = connect(server.url)
        self.store = RunStore(self.client, self.keys, Payloads(self.artifacts))
        self.logs = LogStore(self.client, self.keys, self.artifacts)
        self.api_port = free_port()
        self.restarts = 0
        self.state = directory / "state"
        self._stack = ExitStack()
        self.runs: list[str] = []
        self._nursery = nursery
        self._wanted = set(services)
        self._environment = self._settings(model_url, lease_seconds)
        self._processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        self.tend()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for process in self._processes.values():
            process.send(signal.SIGKILL)
            process.close()
        for pid in self.strays():
            process = Process(pid)
            process.send(signal.SIGKILL)
            process.close()
        if self.redis.is_running:
            self.redis.resume()
        self.client.close()
        self._stack.close()

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def pid(self, service: str) -> int:
        """The process that is `service` now."""
        return self._processes[service].pid

    def kill(self, service: str) -> None:
        """SIGKILL. It comes back when the test next waits, unless it is not wanted any more."""
        self._processes[service].send(signal.SIGKILL)

    def pause(self, service: str) -> None:
        """SIGSTOP."""
        self._processes[service].send(signal.SIGSTOP)

    def resume(self, service: str) -> None:
        """SIGCONT."""
        self._processes[service].send(signal.SIGCONT)

    def want(self, *services: str) -> None:
        """Have these processes from now on; others stay dead once they have died."""
        self._wanted = set(services)

    def tend(self) -> None:
        """Start what is wanted and dead, Redis too."""
        if not self.redis.is_running:
            self.redis.start()
        self.plan.note_redis(self.redis.pid)
        for service in sorted(self._wanted):
            process = self._processes.get(service)
            if process is None or not (process.is_alive or service.endswith(AWAY)):
                self._start(service)

    def until(self, condition: Callable[[], T | None], timeout: float = 60.0, message: str = "") -> T:
        """Look after the processes until the condition's answer is true; return that.

        While the store is away there is no answer.
        """
        deadline = time.monotonic() + timeout
        while True:
            self.tend()
            try:
                if answer := condition():
                    return answer
            except (StoreUnavailable, RedisError) as error:
                message = message or str(error)
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout} s: {message or condition}")
            time.sleep(_PAUSE_SECONDS)

    def hold_programs(self) -> None:
        """Have the steps' programs stop half-way until `let_programs_go`."""
        (self.place / "hold").touch()

    def let_programs_go(self) -> None:
        """Have them go on."""
        (self.place / "hold").unlink()

    def attempt(self, attempt: str) -> AttemptProcesses:
        """The processes of an attempt."""
        return AttemptProcesses(self.state / "attempts" / attempt)

    def attempts(self) -> list[AttemptProcesses]:
        """The processes of every attempt there is."""
        return [AttemptProcesses(path) for path in sorted((self.state / "attempts").glob("[a-z]*"))]

    def broker(self) -> redis.Redis:
        """The database with Celery's queue. Connects anew."""
        client: redis.Redis = self._stack.enter_context(redis.Redis(port=self.redis.port, db=1))
        return client

    def service_of(self, pid: int) -> str:
        """The name of the process."""
        return next(service for service, process in self._processes.items() if process.pid == pid)

    def strays(self) -> dict[int, str]:
        """Processes of commands and attempts: all that work in the fleet's directory and are none of its services."""
        ours = {process.pid for process in self._processes.values()}
        return {pid: command for pid, command in at_work_in(self.directory).items() if pid not in ours}

    def log_of(self, service: str) -> str:
        """What a service has logged over all its lives."""
        path = self.directory / f"{service}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def account(self) -> str:
        """What is needed to understand a failure."""
        lines = [f"boundaries: {sorted(self.plan.seen())}", f"strays: {self.strays()}"]
        for run in self.runs:
            state = self.store.state(run)
            lines.append(f"--- run {run}: {state.status} {state.reason} {state.detail}")
            for event in self.store.events(run, after=max(0, state.seq - _EVENTS)):
                data = json.dumps(event.wire()["data"])
                lines.append(f"{event.seq} {event.time:.3f} {event.event_type} {data[:_EVENT_CHARS]}")
        for path in sorted(self.directory.glob("**/*.log")):
            lines.append(f"--- {path.relative_to(self.directory)}\n{path.read_text(errors='replace')[-_LOG_CHARS:]}")
        return "\n".join(lines)

    def _start(self, service: str) -> None:
        if old := self._processes.get(service):
            old.close()
            self.restarts += 1
            assert self.restarts < MOST_RESTARTS, f"{service} dies again and again:\n{self.log_of(service)[-2000:]}"
        log = self.directory / f"{service}.log"
        environment = dict(self._environment)
        if service.endswith(AWAY):
            environment["COHORT_STATE_DIR"] = str(self.directory / "away")
        pid = self._nursery.bear(service, self.plan.directory, log, environment)
        self._processes[service] = Process(pid)

    def _settings(self, model_url: str, lease_seconds: float) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COHORT_")}
        ours = {
            "redis_url": self.redis.url_of(0),
            "broker_url": self.redis.url_of(1),
            "shards": SHARDS,
            "artifact_url": f"file://{self.directory}/artifacts",
            "state_dir": self.state,
            "runner_secret": SECRET,
            "api_port": self.api_port,
            "api_url": self.api_url,
            "model_base_url": model_url,
            "model_retry_seconds": 0.1,
            "price_prompt": 1.0,
            "price_completion": 2.0,
            "local_price_per_hour": 36.0,
            "worker_slots": SLOTS,
            "lease_seconds": lease_seconds,
            "sweep_seconds": 0.2,
            "leader_seconds": 1,
            "finish_seconds": 30,
            "cancel_grace_seconds": 0.5,
        }
        return inherited | {f"COHORT_{name.upper()}": str(value) for name, value in ours.items()}
