"""The real API as a process, and runs in it that the tests move by hand in the store."""

import os
import subprocess
import sys
from pathlib import Path

import httpx

from services.core import events as ev
from services.core.keys import attempt_id
from services.core.lifecycle import Reason, Status
from services.core.resources import Resources
from services.core.store import Draft, RunStore
from tests.servers import bound_to_us, free_port, wait_until

START_SECONDS = 30


class ApiProcess:
    """`python -m services.api` on a port of its own; may be killed and started again there."""

    def __init__(self, redis_url: str, broker_url: str, artifacts: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "COHORT_REDIS_URL": redis_url,
            "COHORT_BROKER_URL": broker_url,
            "COHORT_ARTIFACT_URL": artifacts.as_uri(),
            "COHORT_API_PORT": str(self.port),
            "COHORT_RUNNER_SECRET": "a secret for tests",
            "COHORT_MODEL": "scripted/hello",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it is ready."""
        command = [sys.executable, "-m", "services.api"]
        self._process = process = subprocess.Popen(
            bound_to_us(command), env=self._environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def is_ready() -> bool:
            assert process.poll() is None, "the API ended"
            try:
                return httpx.get(f"{self.url}/readyz", trust_env=False).is_success
            except httpx.TransportError:
                return False

        wait_until(is_ready, START_SECONDS, "the API is ready")

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Story:
    """A run whose events the test writes, as the worker and the controller would."""

    def __init__(self, store: RunStore, run: str) -> None:
        self.store = store
        self.run = run

    def tell(self, *events: ev.EventData) -> None:
        """Append events as outside facts."""
        seq = self.store.last_seq(self.run)
        self.store.record(self.run, f"told:{seq}", lambda _: Draft(events))

    def move(self, source: Status, target: Status, reason: Reason = Reason.NONE, detail: str = "") -> None:
        self.tell(ev.StatusChanged(source=source, target=target, reason=reason, detail=detail))

    def begin(self) -> None:
        self.move(Status.QUEUED, Status.RUNNING)

    def end(self, reason: Reason = Reason.FINISHED) -> None:
        """End a running run the way `reason` ends one."""
        if reason is Reason.FINISHED:
            self.move(Status.RUNNING, Status.SUCCEEDED, reason)
        elif reason is Reason.ASKED:
            self.move(Status.RUNNING, Status.NEEDS_HUMAN, reason)
        else:
            self.move(Status.RUNNING, Status.CANCELLING, reason)
            self.move(Status.CANCELLING, _ENDS[reason], reason)

    def submit_step(self, step: str = "train", number: int = 1, nodes: int = 1) -> str:
        """A live attempt; returns its id."""
        attempt = attempt_id(self.run, step, number)
        self.tell(
            ev.StepSubmitted(
                step=step,
                attempt=attempt,
                number=number,
                command="python train.py",
                snapshot="0" * 64,
                uses=[],
                env={},
                deadline_seconds=60,
                resources=Resources(nodes=nodes),
            )
        )
        return attempt

    def finish_attempt(self, attempt: str, step: str = "train", **changes: object) -> None:
        values: dict[str, object] = {
            "step": step,
            "attempt": attempt,
            "outcome": "succeeded",
            "exit_code": 0,
            "reason": "exited",
            "seconds": 1.0,
            "cost_usd": 0.0,
            "log_bytes": 0,
            "log_complete": True,
        }
        self.tell(ev.AttemptFinished.model_validate(values | changes))


_ENDS = {
    Reason.MODEL_REFUSED: Status.FAILED,
    Reason.MODEL_UNAVAILABLE: Status.FAILED,
    Reason.MODEL_CREDIT: Status.FAILED,
    Reason.CANCELLED_BY_USER: Status.CANCELLED,
    Reason.DEADLINE: Status.TIMED_OUT,
    Reason.DOLLAR_LIMIT: Status.OVER_LIMIT,
}
