"""Answering tool calls: side by side where that is safe, recorded as each is done, shown to the model in call order.

A call is in one of three states: not begun (only its intent is written), begun (an unsafe tool was started), answered.
After a crash the first two tell what may be done again and what must be asked of the world.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic import ConfigDict, ValidationError

from services.core import events as ev
from services.core.errors import BadRequest, CohortError, Fenced, StoreUnavailable
from services.core.faults import reach
from services.core.lifecycle import Reason, Status, exit_code
from services.core.records import FileRef, OpenCall, RunState, Wait
from services.core.redaction import Redactor
from services.core.store import Draft, Talk
from services.core.waiting import is_satisfied, is_warned_of
from services.core.workspace import Change
from services.worker import conversation as conv
from services.worker.session import Session
from services.worker.shells import Interrupted
from services.worker.tools.ask import NOT_ASKED
from services.worker.tools.tool import Call, Desk, Finished, Parameters, Park, Replay, Result, Tool

log = structlog.get_logger()

_AT_ONCE = 8
_DETAIL_CHARS = 2_000
_UNKNOWN = (
    "outcome unknown: the worker died while this ran, and no record of its end is left. It may have run in part or in "
    "whole. It was not run again. Check what it was meant to change before you go on."
)


@dataclass(frozen=True)
class Calls:
    """Answers calls. Shared by all runs of a worker process."""

    tools: dict[str, Tool[Any]]
    desk: Desk
    redactor: Redactor

    def answer(self, session: Session) -> None:
        """Answer every open call of the run, or park it on the first that has to wait.

        A checked `finish` ends the run. Raises `Fenced` when the lease is gone, `Interrupted` when a command was left
        running because the slice has to end.
        """
        for group in groups(session.state.open_calls, self.tools):
            if len(group) == 1:
                parks = [self._one(session, group[0])]
            else:
                with ThreadPoolExecutor(min(_AT_ONCE, len(group)), "tool") as pool:
                    parks = list(pool.map(lambda call: self._one(session, call), group))
            wait = next((park.wait for park in parks if park is not None), None)
            if wait is not None:
                self._park(session, wait)
                return
            if session.state.status is not Status.RUNNING:
                return

    def _park(self, session: Session, wait: Wait) -> None:
        """Give the run back until `wait` is over; where that has happened meanwhile, the call is simply made again."""
        session.write(lambda state: _parked(state, session.talk, wait), release=True)
        reach("worker.parked")

    def _one(self, session: Session, open_call: OpenCall) -> Park | None:
        tool = self.tools.get(open_call.tool) or _gone(open_call.tool)
        call = Call(
            id=open_call.tool_call_id,
            state=session.state,
            desk=self.desk,
            unread=conv.has_said(session.talk, session.state.turn),
            stop=lambda: session.must_stop,
            recall=lambda turn, index: conv.content_at(session.talk, turn, index),
        )
        outcome = self._outcome(session, tool, call, open_call)
        if isinstance(outcome, Park):
            return outcome
        reach(f"worker.tool_done.{tool.name}")
        if outcome.finished is not None:
            # Before the end is on record: nobody takes up a run that is over, so nobody would clear it away.
            session.held.check()
            self.desk.shell.close(session.run)
        if outcome.asked and self._ask(session, tool, open_call, outcome):
            return None
        told = replace(outcome, text=NOT_ASKED, asked="") if outcome.asked else outcome
        session.write(lambda state: self._answered(state, tool, open_call, told))
        reach("worker.tool_recorded")
        return None

    def _ask(self, session: Session, tool: Tool[Any], open_call: OpenCall, result: Result) -> bool:
        """Record the question and give the run back; False where the answer has come meanwhile, or the run ends."""

        def decide(state: RunState) -> Draft | None:
            if state.status is not Status.RUNNING or conv.has_said(session.talk, state.turn):
                return None
            return self._answered(state, tool, open_call, result)

        return session.write(decide, release=True)

    def _outcome(self, session: Session, tool: Tool[Any], call: Call, open_call: OpenCall) -> Result | Park:
        try:
            arguments = tool.parameters.model_validate(conv.call_arguments(session.talk, call.id))
            if tool.replay is Replay.UNSAFE:
                if open_call.begun:
                    recovered = tool.recover(call, arguments) if tool.recover else None
                    return recovered or Result(_UNKNOWN, success=False)
                if call.stop():
                    raise Interrupted(f"{call.id} is left to the run's next holder, not begun")
                begun = ev.ToolStateChange(tool_call_id=call.id, tool=tool.name, state="running")
                if not session.write(lambda state: Draft((begun,)) if state.status is Status.RUNNING else None):
                    raise Interrupted(f"the run is ending, so {call.id} is not begun")
                reach("worker.tool_begun")
            return tool.run(call, arguments)
        except ValidationError as error:
            return Result(f"error: {problems(error)}", success=False)
        except (Fenced, Interrupted, StoreUnavailable):
            raise
        except CohortError as error:
            return Result(f"error: {error}", success=False)
        except Exception as error:
            # The edge of a tool: whatever it raises is the tool's error and not the run's end.
            log.exception("tool_raised", run=session.run, tool=tool.name, tool_call_id=call.id)
            return Result(f"error: the tool itself failed: {type(error).__name__}: {error}", success=False)

    def _answered(self, state: RunState, tool: Tool[Any], open_call: OpenCall, result: Result) -> Draft | None:
        if all(call.tool_call_id != open_call.tool_call_id for call in state.open_calls):
            return None
        changed, problem = self._changed(state, open_call, result)
        text = self.redactor.redact(result.text) + problem
        succeeded = result.success and not problem
        output = ev.ToolOutput(tool=tool.name, tool_call_id=open_call.tool_call_id, output=text, success=succeeded)
        events: list[ev.EventData] = [*result.events, *changed, output]
        if state.status is Status.RUNNING:
            events += _following(state, result)
        message = conv.tool_message(open_call.tool_call_id, text)
        return Draft(tuple(events), (Talk(state.turn, open_call.index, message),))

    def _changed(self, state: RunState, open_call: OpenCall, result: Result) -> tuple[list[ev.EventData], str]:
        """The event of the changed files, if there is one, and what the model must know where they cannot be kept."""
        if not result.changes:
            return [], ""
        try:
            snapshot = self.desk.workspace.apply(state.snapshot, _possible(self.desk, state.snapshot, result.changes))
        except BadRequest as error:
            return [], f"\nthe changed files are not kept: {error}"
        if snapshot == state.snapshot:
            return [], ""
        paths = [change.path for change in result.changes[:200]]
        changed = ev.WorkspaceChanged(
            snapshot=snapshot, parent=state.snapshot, tool_call_id=open_call.tool_call_id, paths=paths
        )
        return [changed], ""


def _following(state: RunState, result: Result) -> list[ev.EventData]:
    """What a result means for its run, besides the answer."""
    if result.finished is not None:
        return closing(state, result.finished)
    if result.asked:
        return asking(state, Reason.ASKED, result.asked)
    if result.incomplete:
        detail = result.incomplete[:_DETAIL_CHARS]
        return [
            ev.StatusChanged(source=state.status, target=Status.CANCELLING, reason=Reason.INCOMPLETE, detail=detail)
        ]
    return []


def _possible(desk: Desk, snapshot: str, changes: Sequence[Change]) -> list[Change]:
    """The changes without deletions of what is gone already: a command beside this one may have been quicker."""
    if all(change.content is not None for change in changes):
        return list(changes)
    there = {entry.path for entry in desk.workspace.list(snapshot)}
    return [change for change in changes if change.content is not None or change.path in there]


def groups(calls: Sequence[OpenCall], tools: dict[str, Tool[Any]]) -> list[list[OpenCall]]:
    """Calls in the order they are carried out: neighbours that may run at once stand together.

    A `write` before a `bash` in the same reply has happened when the `bash` starts; two commands run side by side.
    """
    ordered: list[list[OpenCall]] = []
    for call in calls:
        if ordered and _is_parallel(call, tools) and _is_parallel(ordered[-1][-1], tools):
            ordered[-1].append(call)
        else:
            ordered.append([call])
    return ordered


def _is_parallel(call: OpenCall, tools: dict[str, Tool[Any]]) -> bool:
    return call.tool in tools and tools[call.tool].is_parallel


class _Anything(Parameters):
    model_config = ConfigDict(extra="ignore")


def _gone(name: str) -> Tool[Any]:
    """In place of a tool that an upgrade took away while a call of it was open."""
    text = f"error: there is no tool {name!r} any more; nothing was done"
    return Tool(
        name=name,
        description="",
        parameters=_Anything,
        run=lambda *_: Result(text, success=False),
        replay=Replay.UNSAFE,
    )


def problems(error: ValidationError) -> str:
    """What is wrong with a call's arguments, field by field."""
    found = [f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in error.errors()[:10]]
    return "; ".join(found) + "; nothing was done"


def closing(state: RunState, finished: Finished) -> list[ev.EventData]:
    """The last events of a run that succeeded."""
    return [
        ev.StatusChanged(source=state.status, target=Status.SUCCEEDED, reason=Reason.FINISHED),
        *last_events(Status.SUCCEEDED, Reason.FINISHED, finished.summary, finished.metrics, finished.artifacts, state),
    ]


def asking(state: RunState, reason: Reason, detail: str) -> list[ev.EventData]:
    """The events by which a run stops until a person answers."""
    return [
        ev.StatusChanged(source=state.status, target=Status.NEEDS_HUMAN, reason=reason, detail=detail),
        ev.Parked(wait=Wait(kind="message")),
        ev.TurnComplete(history_size=state.turn, final_response=detail),
    ]


def last_events(
    status: Status,
    reason: Reason,
    summary: str,
    metrics: dict[str, float],
    artifacts: Sequence[FileRef],
    state: RunState,
) -> list[ev.EventData]:
    """What stands at the end of every run's log."""
    code = exit_code(status, reason)
    assert code is not None, "a final status has an exit code"
    return [
        ev.RunFinished(
            status=status, reason=reason, exit_code=code, summary=summary, metrics=metrics, artifacts=list(artifacts)
        ),
        ev.TurnComplete(history_size=state.turn, final_response=summary or None),
        ev.Shutdown(),
    ]


def _parked(state: RunState, talk: Sequence[Talk], wait: Wait) -> Draft | None:
    """The move to waiting, unless what the run would wait for, or a message, has come meanwhile."""
    if (
        state.status is not Status.RUNNING
        or is_satisfied(wait, state)
        or conv.has_said(talk, state.turn)
        or is_warned_of(wait, state)
    ):
        return None
    move = ev.StatusChanged(
        source=state.status,
        target=Status.WAITING,
        reason=Reason.WAITING_FOR_STEPS,
        detail="waits for " + ", ".join(wait.steps),
    )
    return Draft((move, ev.Parked(wait=wait)))
