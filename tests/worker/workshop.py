"""An engine as a worker process builds it, in this process, with a scripted model over HTTP."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from services.core import events as ev
from services.core.hints import celery_app
from services.core.keys import new_run_id
from services.core.ledger import Ledger
from services.core.lifecycle import Reason, Status
from services.core.monitoring.instruments import Registry
from services.core.records import Limits, RunState
from services.core.settings import WorkerSettings
from services.core.store import Draft, Lease, RunStore, Talk
from services.core.workspace import Workspace
from services.worker import conversation as conv
from services.worker.app import build_engine, build_model, build_store
from services.worker.engine import Engine
from services.worker.leases import LeaseKeeper
from services.worker.metrics import WorkerMetrics
from tests.core.submitted import accept_run, close_attempt
from tests.servers import wait_until

_numbers = count(1)


def rests(state: RunState) -> bool:
    """Nothing goes on by itself any more."""
    return state.status.is_final or state.status is Status.NEEDS_HUMAN


class Workshop:
    """One worker's engine. From `with` to its end it holds leases."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.registry = Registry("worker")
        self.store: RunStore = build_store(settings, self.registry)
        self.ledger = Ledger(self.store.client)
        self._app = celery_app(settings.broker_url)
        self.keeper = LeaseKeeper(self.store, settings.lease_seconds, WorkerMetrics(self.registry))
        model = build_model(settings)
        self.engine: Engine = build_engine(settings, self.keeper, self.store, model, self._app, self.registry)
        self.workspace: Workspace = self.engine.turn.workspace

    def __enter__(self) -> "Workshop":
        self.keeper.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.keeper.__exit__(None, None, None)
        self._app.close()
        self.store.client.close()

    # --- What clients do ----------------------------------------------------------------------------------------------

    def accept(self, story: str, goal: str = "", files: dict[str, bytes] | None = None, **fields: Any) -> str:
        """A run on a scripted story. Faults are counted by goal, so each has one of its own."""
        return self.accept_as(f"scripted/{story}", goal, files, **fields)

    def accept_as(self, model: str, goal: str = "", files: dict[str, bytes] | None = None, **fields: Any) -> str:
        """A run on any model."""
        goal = f"{goal or 'train a model'} (number {next(_numbers)} of {new_run_id()})"
        snapshot = self.workspace.import_files(files or {})
        return accept_run(self.store, goal=goal, model=model, snapshot=snapshot, **fields)

    def say(self, run: str, text: str) -> RunState:
        """A message, as the API records it."""

        def decide(state: RunState) -> Draft:
            received = ev.MessageReceived(message_id=text, content=text, author="ci")
            return Draft((received,), (Talk(state.turn, conv.SAID, conv.user_message(text)),))

        return self.store.record(run, f"message:{text}", decide)

    def cancel(self, run: str) -> RunState:
        """A cancel, as the API records it."""

        def decide(state: RunState) -> Draft:
            move = ev.StatusChanged(
                source=state.status, target=Status.CANCELLING, reason=Reason.CANCELLED_BY_USER, detail="enough"
            )
            return Draft((ev.CancelRequested(author="ci", why="enough"), move))

        return self.store.record(run, "cancel", decide)

    def close(self, attempt: str, outcome: str = "succeeded", **fields: Any) -> None:
        """The end of an attempt, as the controller records it."""
        close_attempt(self.store, attempt, outcome, **fields)

    # --- What a worker does -------------------------------------------------------------------------------------------

    def advance(self, run: str) -> str:
        return self.engine.advance(run)

    def drive(self, run: str, until: Callable[[RunState], bool] = rests, timeout: float = 30.0) -> RunState:
        """Give hints until the run stands so."""

        def hinted() -> RunState | None:
            self.advance(run)
            state = self.store.state(run)
            return state if until(state) else None

        try:
            return wait_until(hinted, timeout)
        except AssertionError as error:
            failures = [failure.detail for failure in self.events(run, ev.LlmFailed)]
            raise AssertionError(f"{error}; it stands at {self.state(run)}; the model failed with {failures}") from None

    def die_after_claim(self, run: str) -> Lease:
        """A worker that takes the run and is never heard of again; its lease is over at once."""
        lease = self.store.claim(run, new_run_id(), 0.001)
        assert isinstance(lease, Lease), lease
        wait_until(lambda: self._lease_is_over(run), 5)
        return lease

    def die_in_a_call(self, run: str, microdollars: int = 50) -> None:
        """A worker that takes the run, records what became of its predecessor, asks the model, and dies."""
        lease = self.store.claim(run, new_run_id(), 0.2)
        assert isinstance(lease, Lease), lease
        state = self.store.state(run)
        if state.model_call is not None:
            cost = state.model_call.reserved_microdollars / 1e6
            failed = ev.LlmFailed(
                call=state.model_call.call, model=state.model, failure="unknown_outcome", detail="", cost_usd=cost
            )
            state = self.store.append(lease, state, Draft((failed,))).state
        if state.status is Status.QUEUED:
            begun = ev.StatusChanged(source=Status.QUEUED, target=Status.RUNNING)
            state = self.store.append(lease, state, Draft((begun,))).state
        call = f"{run}-c{state.spend.calls + 1}"
        self.ledger.reserve(state.tenant, f"model:{call}", microdollars)
        request = ev.LlmRequest(
            call=call, model=state.model, reserved_microdollars=microdollars, messages=2, prompt_sha256="0" * 64
        )
        self.store.append(lease, state, Draft((request,)))
        wait_until(lambda: self._lease_is_over(run), 5)

    def lose_lease(self, run: str) -> None:
        """Whoever holds the run is too late from now on."""
        self.store.client.hset(self.store.keys.run(run), "lease_until", 0)

    def _lease_is_over(self, run: str) -> bool:
        until = int(self.store.client.hget(self.store.keys.run(run), "lease_until"))
        seconds, micros = self.store.client.time()
        return bool(until < seconds * 1000 + micros / 1000)

    # --- What is to be seen -------------------------------------------------------------------------------------------

    def state(self, run: str) -> RunState:
        return self.store.state(run)

    def events(self, run: str, kind: type[ev.EventData]) -> list[Any]:
        """The run's events of a kind."""
        return [event.data for event in self.store.events(run, limit=10_000) if isinstance(event.data, kind)]

    def answers(self, run: str) -> list[str]:
        """What the tools answered, in the order they were done."""
        return [event.output for event in self.events(run, ev.ToolOutput)]

    def history(self, run: str) -> list[dict[str, Any]]:
        """The conversation, whole."""
        talk = conv.ordered(self.store.talk(run))
        return [*conv.opening("", self.store.state(run), []), *(entry.message for entry in talk)]

    def path_of(self, run: str) -> list[str]:
        """The statuses the run went through."""
        return [move.target for move in self.events(run, ev.StatusChanged)]


def settings_for(
    redis_url: str, broker_url: str, directory: Path, model_url: str, artifact_url: str, **changes: Any
) -> WorkerSettings:
    """A worker's settings with short pauses."""
    values = {
        "redis_url": redis_url,
        "broker_url": broker_url,
        "artifact_url": artifact_url,
        "state_dir": directory,
        "lease_seconds": 10.0,
        "model_base_url": model_url,
        "model_retry_seconds": 0.01,
        **changes,
    }
    return WorkerSettings(**values)


TURNS = Limits(turns=5)
