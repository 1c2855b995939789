"""A controller's parts on a real store, with a data centre of the test's own."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.keys import Keys
from services.core.ledger import Ledger
from services.core.lifecycle import Reason, Status
from services.core.logs import LogStore
from services.core.pools import Pools
from services.core.records import RunState
from services.core.redis import Client
from services.core.store import Draft, RunStore
from services.worker.controller.archive import Archivist
from services.worker.controller.attempts import Reconciler, Terms
from tests.core.submitted import accept_run, submit_attempt
from tests.worker.controller.cloud import Cloud, Listener, report

TERMS = Terms(
    api_url="http://api.example",
    runner_secret="s",
    grace_seconds=5,
    finish_seconds=60,
    pools=Pools.local(1.0),
    orphan_seconds=0,
)


@dataclass
class Control:
    """One controller's parts, and what tests do to runs."""

    store: RunStore
    attempts: AttemptStore
    logs: LogStore
    ledger: Ledger
    artifacts: ArtifactStore
    cloud: Cloud = field(default_factory=Cloud)
    hints: Listener = field(default_factory=Listener)
    terms: Terms = TERMS
    _numbers: Any = field(default_factory=count)

    @property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.store, self.attempts, self.logs, self.ledger, self.cloud, self.hints, self.terms)

    @property
    def archivist(self) -> Archivist:
        return Archivist(self.store, self.ledger, self.logs, self.artifacts)

    def accept(self, **fields: Any) -> str:
        run = accept_run(self.store, **fields)
        self.move(run, Status.RUNNING)
        return run

    def submit(self, run: str = "", step: str = "train", number: int = 1, **fields: Any) -> str:
        return submit_attempt(self.store, step, run or self.accept(), number, **fields)

    def move(self, run: str, *targets: Status, reason: Reason = Reason.NONE) -> None:
        """Take the run through statuses."""
        for target in targets:
            self.write(run, ev.StatusChanged(source=self.store.state(run).status, target=target, reason=reason))

    def write(self, run: str, *events: ev.EventData) -> RunState:
        return self.store.record(run, f"test:{next(self._numbers)}", lambda _: Draft(events))

    def report(self, attempt: str, **fields: Any) -> None:
        """The runner's last word."""
        self.attempts.finish(attempt, report(**fields), log_complete=True)

    def kinds(self, run: str) -> list[str]:
        return [event.event_type for event in self.store.events(run)]


def go_round(part: Reconciler | Archivist) -> None:
    """Have it look at everything once, and wait for what comes of that."""
    for _ in part.round():
        if isinstance(part, Reconciler):
            part.settle()


@pytest.fixture
def control(store: RunStore, client: Client, keys: Keys, artifacts: ArtifactStore) -> Control:
    return Control(store, AttemptStore(client, keys), LogStore(client, keys, artifacts), Ledger(client), artifacts)
