"""An install with runs in it, as the services would have left them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.keys import Keys, run_of_attempt
from services.core.lifecycle import Reason, Status
from services.core.observations import Metric, Observations, Sample, Warned
from services.core.records import FileRef
from services.core.redis import Client
from services.core.store import Draft, RunStore, Talk
from services.core.workspace import EMPTY, Workspace
from services.keeping.findings import Finding
from services.keeping.install import Install, install_of
from services.keeping.prune import Pruner
from services.keeping.verify import Verifier
from services.worker.controller.archive import Archivist
from tests.core.submitted import accept_run, close_attempt, submit_attempt
from tests.worker.controller.cloud import report

LONG = "a long story " * 2_000


@dataclass
class House:
    """An install, and what tests do to runs in it."""

    install: Install
    _numbers: Any = field(default_factory=count)

    @property
    def store(self) -> Any:
        return self.install.store

    @property
    def client(self) -> Client:
        return self.install.client

    @property
    def keys(self) -> Keys:
        return self.install.keys

    @property
    def archivist(self) -> Archivist:
        place = self.install
        return Archivist(place.store, place.ledger, place.logs, place.artifacts)

    @property
    def pruner(self) -> Pruner:
        place = self.install
        return Pruner(RunStore(place.client, place.keys, place.payloads), place.archive)

    def accept(self, **more: Any) -> str:
        run = accept_run(self.store, snapshot=EMPTY, **more)
        self.move(run, Status.RUNNING)
        return run

    def write(self, run: str, *events: ev.EventData, talk: tuple[Talk, ...] = ()) -> None:
        self.store.record(run, f"test:{next(self._numbers)}", lambda _: Draft(events, talk))

    def move(self, run: str, target: Status, reason: Reason = Reason.NONE) -> None:
        self.write(run, ev.StatusChanged(source=self.store.state(run).status, target=target, reason=reason))

    def step(self, run: str, log: bytes = b"loss 0.5\n" * 10, step: str = "train", number: int = 1, **more: Any) -> str:
        """A live attempt that has said something, measured something and left a file."""
        attempt = submit_attempt(self.store, step, run, number, **{"snapshot": EMPTY, **more})
        self.install.attempts.claim(attempt, "pod")
        self.install.logs.append(attempt, 0, log)
        seen = Observations(
            metrics=(Metric(name="loss", value=0.5, step=1, time=1.0),),
            samples=(Sample(time=1.0, rss_bytes=1),),
            warnings=(Warned(kind="plateau", text="it does not get better"),),
        )
        self.install.attempts.observe(attempt, seen)
        return attempt

    def end_step(self, attempt: str, log_bytes: int = 90, cost_usd: float = 0.0) -> FileRef:
        """It ends well, and leaves a model."""
        artifacts = self.install.artifacts
        data = f"the model of {attempt}".encode()
        made = FileRef(path="model.bin", sha256=artifacts.put(data), size=len(data))
        self.install.attempts.add_output(attempt, made)
        self.install.attempts.finish(attempt, report(bytes=log_bytes, outputs=(made,)), log_complete=True)
        close_attempt(self.store, attempt, log_bytes=log_bytes, cost_usd=cost_usd, outputs=[made])
        return made

    def finish(self, run: str, *made: FileRef) -> None:
        finished = ev.RunFinished(
            status=Status.SUCCEEDED,
            reason=Reason.FINISHED,
            exit_code=0,
            summary="done",
            metrics={"loss": 0.5},
            artifacts=list(made),
        )
        self.write(run, finished)
        self.move(run, Status.SUCCEEDED, Reason.FINISHED)

    def pay(self, run: str, name: str, microdollars: int) -> None:
        """What a model call of the run costs."""
        tenant, call = self.store.state(run).tenant, f"{run}-{name}"
        self.install.ledger.reserve(tenant, f"model:{call}", microdollars)
        request = ev.LlmRequest(
            call=call, model="m", reserved_microdollars=microdollars, messages=1, prompt_sha256="0" * 64
        )
        failed = ev.LlmFailed(call=call, model="m", failure="timeout", detail="", cost_usd=microdollars / 1e6)
        self.write(run, request, failed)
        self.install.ledger.settle(tenant, f"model:{call}", microdollars)

    def story(self, **more: Any) -> str:
        """A run that is over and archived: files, a long payload, a conversation, a step, money."""
        run = self.accept(**more)
        snapshot = Workspace(self.install.artifacts).import_files({"train.py": b"print(1)", "data/a.csv": b"1,2"})
        changed = ev.WorkspaceChanged(snapshot=snapshot, parent=EMPTY, tool_call_id="a", paths=["train.py"])
        talk = tuple(Talk(1, place, {"role": "user", "content": text}) for place, text in enumerate(("hello", LONG)))
        self.write(run, changed, ev.AssistantMessage(content=LONG), talk=talk)
        self.pay(run, "c1", 1_500)
        attempt = self.step(run, snapshot=snapshot)
        made = self.end_step(attempt)
        self.finish(run, made)
        self.archivist.archive(run)
        return run

    def findings(self, fraction: float = 1.0, pause: Callable[[], None] = lambda: None) -> list[Finding]:
        return Verifier(self.install, fraction, pause).report().findings

    def tag(self, run: str) -> str:
        return self.keys.tag(run_of_attempt(run))


@pytest.fixture
def house(client: Client, keys: Keys, artifacts: ArtifactStore) -> House:
    return House(install_of(client, keys, artifacts))
