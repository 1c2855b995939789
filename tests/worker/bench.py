"""A run in the store, and its tools at hand one by one, without a model or an engine."""

from dataclasses import replace
from itertools import count
from typing import Any

from services.core import events as ev
from services.core.lifecycle import Status
from services.core.observations import Metric, Observations, Progress
from services.core.records import RunState
from services.core.store import Draft, RunStore
from services.core.workspace import EMPTY, Change
from services.worker.tools import TOOLS
from services.worker.tools.tool import Call, Desk, Park, Result
from services.worker.web.client import Web
from services.worker.web.outside import Outside, Places
from tests.core.submitted import accept_run, close_attempt, submit_attempt
from tests.worker.web.server import WebServer


class Bench:
    """One run. `use` calls a tool as the engine would and takes its changes over."""

    def __init__(self, desk: Desk, store: RunStore, **fields: Any) -> None:
        self.desk = desk
        self.store = store
        self.run = accept_run(store, **{"snapshot": EMPTY, **fields})
        self._numbers = count(1)
        self._writes = count(1)
        self.record(ev.StatusChanged(source=Status.QUEUED, target=Status.RUNNING))

    @property
    def state(self) -> RunState:
        return self.store.state(self.run)

    def record(self, *events: ev.EventData) -> RunState:
        return self.store.record(self.run, f"bench:{next(self._writes)}", lambda _: Draft(events))

    def outcome(self, tool: str, /, *, call: str = "", **arguments: Any) -> Result | Park:
        """What the tool makes of the arguments. Raises what the tool raises."""
        made = Call(id=call or f"call_1_{next(self._numbers)}", state=self.state, desk=self.desk)
        return self.carry_out(tool, made, **arguments)

    def carry_out(self, tool: str, call: Call, /, **arguments: Any) -> Result | Park:
        """The same for a call that the test has made itself."""
        used = TOOLS[tool]
        given = used.parameters.model_validate(arguments)
        if used.intent is not None and (events := used.intent(call, given)):
            call = replace(call, state=self.record(*events))
        outcome = used.run(call, given)
        if isinstance(outcome, Result):
            self._take_over(outcome)
        return outcome

    def use(self, tool: str, /, **arguments: Any) -> Result:
        """The tool's answer, its events and its changes recorded."""
        outcome = self.outcome(tool, **arguments)
        assert isinstance(outcome, Result), f"{tool} parked: {outcome}"
        return outcome

    def _take_over(self, result: Result) -> None:
        events = list(result.events)
        if result.changes:
            state = self.state
            snapshot = self.desk.workspace.apply(state.snapshot, result.changes)
            events.append(ev.WorkspaceChanged(snapshot=snapshot, parent=state.snapshot, tool_call_id="x", paths=[]))
        if events:
            self.record(*events)

    def look_outside(self, server: WebServer, **places: str) -> None:
        """Let tools find services of these addresses at `server`, whom an operator trusts. Nobody waits."""
        self.desk.outside.web.close()
        web = Web(trusted=[server.place], sleep=lambda _: None)
        self.desk = replace(self.desk, outside=Outside(web, Places(**places)))

    def put(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        """Put a file into the run's workspace."""
        data = content.encode() if isinstance(content, str) else content
        self._take_over(Result("", changes=(Change(path, data, mode),)))

    def content(self, path: str) -> str:
        return self.desk.workspace.read(self.state.snapshot, path).decode()

    def submit(self, step: str = "train", number: int = 1, nodes: int = 1) -> str:
        """A live attempt of a step; returns its id."""
        return submit_attempt(self.store, step, self.run, number, nodes)

    def print(self, attempt: str, *lines: bytes) -> None:
        """Lines of a live attempt's log."""
        for line in lines:
            self.desk.logs.append(attempt, self.desk.logs.size(attempt), line + b"\n")

    def measure(self, attempt: str, name: str, *values: float, progress: str = "") -> None:
        """Metrics of a live attempt, one epoch each."""
        first = self.desk.attempts.record(attempt).metrics_count
        metrics = tuple(Metric(name=name, value=value, epoch=epoch, time=1.0) for epoch, value in enumerate(values, 1))
        told = Progress(text=progress) if progress else None
        self.desk.attempts.observe(attempt, Observations(first=first, metrics=metrics, progress=told))

    def close(self, attempt: str, outcome: str = "succeeded", **fields: Any) -> None:
        """The end of a live attempt."""
        close_attempt(self.store, attempt, outcome, **fields)

    def call(self, **changes: Any) -> Call:
        """A call of the run as it stands, to be changed."""
        return replace(Call(id="call_1_0", state=self.state, desk=self.desk), **changes)
