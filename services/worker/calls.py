"""Answering tool calls: side by side where that is safe, recorded as each is done, shown to the model in call order.

A call is in one of three states: not begun (only its intent is written), begun (an unsafe tool was started), answered.
After a crash the first two tell what may be done again and what must be asked of the world.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic import ConfigDict, ValidationError

from services.core import events as ev
from services.core.errors import BadRequest, CohortError, Fenced, StoreUnavailable
from services.core.faults import reach
from services.core.lifecycle import Reason, Status
from services.core.records import OpenCall, RunState, Wait
from services.core.redaction import Redactor
from services.core.store import Draft, Talk
from services.core.workspace import Change
from services.worker import conversation as conv
from services.worker.moves import asking, closing, joined, parked
from services.worker.session import Session
from services.worker.shells import Interrupted
from services.worker.tools import toolbox
from services.worker.tools.ask import NOT_ASKED
from services.worker.tools.tool import Call, Desk, Intent, Parameters, Park, Replay, Result, Tool, Toolbox

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

    tools: Toolbox
    desk: Desk
    redactor: Redactor

    def answer(self, session: Session) -> None:
        """Answer every open call of the run, or park it on the first that has to wait.

        A checked `finish` ends the run. Raises `Fenced` when the lease is gone, `Interrupted` when a command was left
        running because the slice has to end.
        """
        for group in groups(session.state.open_calls, toolbox(self.tools, session.state)):
            if len(group) == 1:
                parks = [self._one(session, group[0])]
            else:
                with ThreadPoolExecutor(min(_AT_ONCE, len(group)), "tool") as pool:
                    sent = [pool.submit(copy_context().run, self._one, session, call) for call in group]
                    parks = [call.result() for call in sent]
            waits = [park.wait for park in parks if park is not None]
            if waits:
                self._park(session, joined(waits))
                return
            if session.state.status is not Status.RUNNING:
                return

    def _park(self, session: Session, wait: Wait) -> None:
        """Give the run back until `wait` is over; where that has happened meanwhile, the call is simply made again."""
        session.write(lambda state: parked(state, session.talk, wait), release=True)
        reach("worker.parked")

    def _one(self, session: Session, open_call: OpenCall) -> Park | None:
        tool = toolbox(self.tools, session.state).get(open_call.tool) or _gone(open_call.tool)
        call = Call(
            id=open_call.tool_call_id,
            state=self.desk.researches.with_steps(session.state),
            desk=self.desk,
            unread=conv.has_said(session.talk, session.state.turn),
            stop=lambda: session.must_stop,
            recall=lambda turn, index: conv.content_at(session.talk, turn, index),
            has_met=lambda text: conv.has_met(session.talk, text, besides=tool.name),
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
            if tool.intent is not None:
                call = self._intended(session, tool.intent, call, arguments)
            if tool.replay is Replay.UNSAFE:
                if open_call.begun:
                    recovered = tool.recover(call, arguments) if tool.recover else None
                    return recovered or Result(_UNKNOWN, success=False)
                self._begin(session, tool, call)
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

    def _begin(self, session: Session, tool: Tool[Any], call: Call) -> None:
        """Put on record that an unsafe call is started. Raises `Interrupted` where it had better not be."""
        if call.stop():
            raise Interrupted(f"{call.id} is left to the run's next holder, not begun")
        begun = ev.ToolStateChange(tool_call_id=call.id, tool=tool.name, state="running")
        if not session.write(lambda state: Draft((begun,)) if state.status is Status.RUNNING else None):
            raise Interrupted(f"the run is ending, so {call.id} is not begun")
        reach("worker.tool_begun")

    def _intended(self, session: Session, intent: Intent[Any], call: Call, arguments: Parameters) -> Call:
        """Put on record what the call will do; the call with the state after that."""

        def decide(state: RunState) -> Draft | None:
            if state.status is not Status.RUNNING:
                raise Interrupted(f"the run is ending, so {call.id} is not begun")
            events = intent(replace(call, state=state), arguments)
            return Draft(events) if events else None

        if session.write(decide):
            reach("worker.tool_intended")
        return replace(call, state=session.state)

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


def groups(calls: Sequence[OpenCall], tools: Toolbox) -> list[list[OpenCall]]:
    """Calls in the order they are carried out: neighbours that may run at once, or wait at once, stand together.

    A `write` before a `bash` in the same reply has happened when the `bash` starts; two commands run side by side.
    """
    ordered: list[list[OpenCall]] = []
    for call in calls:
        if ordered and all(_go_together(tools.get(call.tool), tools.get(other.tool)) for other in ordered[-1]):
            ordered[-1].append(call)
        else:
            ordered.append([call])
    return ordered


def _go_together(one: Tool[Any] | None, other: Tool[Any] | None) -> bool:
    if one is None or other is None:
        return False
    return (one.is_parallel and other.is_parallel) or (one.waits and other.waits)


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
        effects=frozenset(),
    )


def problems(error: ValidationError) -> str:
    """What is wrong with a call's arguments, field by field."""
    found = [f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in error.errors()[:10]]
    return "; ".join(found) + "; nothing was done"
