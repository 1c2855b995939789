"""What a turn of the model writes to the run's log: its request, its reply, its failure. Pure but for the clock."""

import json
import re
import time
from collections.abc import Sequence
from hashlib import sha256

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.records import MICRODOLLARS, RunState, Wait
from services.core.store import Draft, Talk
from services.worker import conversation as conv
from services.worker.context.view import View
from services.worker.mending import Mend
from services.worker.reply import RawCall, Reply
from services.worker.tools.tool import Toolbox

_CUT = (
    "Your reply was cut off at the length limit, so its tool calls were not carried out. "
    "Make it shorter: write long files in several parts."
)
_CUT_TEXT = "Your reply was cut off at the length limit. Go on with a shorter one."
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")


def request_draft(state: RunState, call: str, reserved: int, view: View, talk: Sequence[Talk]) -> Draft | None:
    """The intent of a call, with the money held for it; None where the run takes no more turns."""
    if state.status is not Status.RUNNING:
        return None
    request = ev.LlmRequest(
        call=call,
        model=state.model,
        reserved_microdollars=reserved,
        messages=len(view.messages),
        prompt_sha256=sha256(json.dumps(view.messages, sort_keys=True).encode()).hexdigest(),
        estimated_tokens=view.tokens,
    )
    compacted = ev.Compacted(old_tokens=view.whole_tokens, new_tokens=view.tokens, cuts=view.cuts)
    # What a person said since the last reply is taken up now.
    taken_up = (ev.Processing(),) if conv.has_unread(talk) else ()
    return Draft((*taken_up, *([compacted] if view.cuts != state.window.cuts else []), request))


def failure_draft(state: RunState, failed: ev.LlmFailed, seconds: float | None, mend: Mend | None) -> Draft:
    """A failed call, and the wait after it: `seconds`, or none where the run goes on or ends."""
    if seconds is None or state.status is not Status.RUNNING:
        return Draft((failed, mend) if mend else (failed,))
    wait = Wait(kind="model", until=time.time() + seconds)
    move = ev.StatusChanged(
        source=state.status, target=Status.WAITING, reason=Reason.WAITING_FOR_MODEL, detail=failed.failure
    )
    return Draft((failed, move, ev.Parked(wait=wait)))


def reply_draft(state: RunState, call: str, reply: Reply, cost: int, tools: Toolbox) -> Draft:
    """Everything a reply leads to, in one append: its cost, its text, its calls, and answers to impossible calls."""
    is_cut = reply.finish_reason == "length"
    calls = () if is_cut else _named(reply.calls, state.turn)
    done = ev.LlmCall(
        call=call,
        model=state.model,
        latency_ms=reply.latency_ms,
        finish_reason=reply.finish_reason,
        cost_usd=cost / MICRODOLLARS,
        prompt_tokens=reply.usage.prompt,
        kind="main" if state.parent is None else "research",
        completion_tokens=reply.usage.completion,
        total_tokens=reply.usage.prompt + reply.usage.completion,
        cache_read_tokens=reply.usage.cached,
        cache_creation_tokens=reply.usage.written,
        first_token_ms=reply.first_token_ms,
    )
    intents = [ev.ToolCall(tool=raw.name, arguments=conv.arguments_of(raw) or {}, tool_call_id=raw.id) for raw in calls]
    talk = [Talk(state.turn, conv.REPLY, conv.reply_message(reply.text, calls))]
    if is_cut:
        talk.append(Talk(state.turn, conv.NOTE, conv.user_message(_CUT if reply.calls else _CUT_TEXT)))
    refusals: list[ev.EventData] = []
    for index, raw in enumerate(calls):
        if problem := _problem(raw, tools, is_research=state.parent is not None):
            refusals.append(ev.ToolOutput(tool=raw.name, tool_call_id=raw.id, output=problem, success=False))
            talk.append(Talk(state.turn, index, conv.tool_message(raw.id, problem)))
    return Draft((done, ev.AssistantStreamEnd(), *intents, *refusals), tuple(talk))


def _named(calls: tuple[RawCall, ...], turn: int) -> tuple[RawCall, ...]:
    """The calls with ids that are unique within the run and safe as file names, whatever the provider sent.

    A name is cut down to what providers accept in a history; what was no tool's name before is none afterwards.
    """
    return tuple(
        RawCall(f"call_{turn}_{index}", _NO_NAME.sub("_", raw.name)[:64] or "_", raw.arguments)
        for index, raw in enumerate(calls)
    )


def _problem(raw: RawCall, tools: Toolbox, *, is_research: bool) -> str:
    """Why a call cannot even be tried; empty when it can."""
    if raw.name not in tools and is_research:
        return f"error: a research only reads, and has no tool {raw.name!r} here; its tools are: {', '.join(tools)}"
    if raw.name not in tools:
        return f"error: there is no tool {raw.name!r}; the tools are: {', '.join(tools)}"
    if conv.arguments_of(raw) is None:
        start = raw.arguments[:200]
        return f"error: the arguments are no JSON object, so nothing was done; they begin: {start}"
    return ""
