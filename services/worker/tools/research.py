"""`research`: have something found out by an agent of its own, and wait for its findings."""

import json
from collections.abc import Sequence

from pydantic import Field

from services.core import events as ev
from services.core.lifecycle import Status
from services.core.records import MICRODOLLARS, Wait
from services.core.research import Research
from services.core.store import Talk
from services.worker.context.outline import outline
from services.worker.conversation import ordered
from services.worker.research import research_id, started
from services.worker.tools.bounds import bounded
from services.worker.tools.report import TOOL as REPORT
from services.worker.tools.tool import Call, Effect, Parameters, Park, Replay, Result, Tool, ToolError

_MOST_AT_ONCE = 8
_OUTLINE_CHARS = 4_000


class AskedResearch(Parameters):
    task: str = Field("", max_length=8_000, description="What is to be found out, and what the answer must contain.")
    context: str = Field("", max_length=20_000, description="What is known already; it sees nothing of this talk.")
    resume: str = Field("", max_length=64, description="Alone: id of a research under way, to wait for its findings.")


def _intent(call: Call, wanted: AskedResearch) -> tuple[ev.EventData, ...]:
    if bool(wanted.task.strip()) == bool(wanted.resume):
        raise ToolError("give either the task of a new research, or resume alone")
    if wanted.resume or research_id(call.state.run, call.id) in call.state.researches:
        return ()
    if len(call.state.live_researches()) >= _MOST_AT_ONCE:
        raise ToolError(f"{_MOST_AT_ONCE} researches are under way; wait until one of them is over")
    return started(call.state, call.id, wanted.task, call.desk.researches.terms)


def _run(call: Call, wanted: AskedResearch) -> Result | Park:
    research = _research(call, wanted)
    if not research.is_live:
        return _account(call, research)
    if not wanted.resume:
        context = f"\n\nWhat is known already:\n{wanted.context}" if wanted.context.strip() else ""
        call.desk.researches.begin(call.state, research, wanted.task + context)
    if call.unread:
        text = f"a message has come, so this answers early: research {research.run} goes on; "
        return Result(f"{text}research(resume={research.run!r}) waits for its findings")
    return Park(Wait(kind="research", researches=(research.run,), tool_call_id=call.id))


def _research(call: Call, wanted: AskedResearch) -> Research:
    found = call.state.researches.get(wanted.resume or research_id(call.state.run, call.id))
    if found is None:
        known = ", ".join(call.state.researches) or "none yet"
        raise ToolError(f"there is no research {wanted.resume!r}; begun: {known}")
    return found


def _account(call: Call, research: Research) -> Result:
    """What came of a research that is over: its report, or why there is none and what it had found so far."""
    state, talk = call.desk.researches.found(research.run)
    used = f"{state.turn} turns, {state.spend.tokens} tokens, ${state.spend.microdollars / MICRODOLLARS:.4f}"
    if state.status is Status.SUCCEEDED:
        return Result(bounded(f"Research {research.run} ({used}):\n{state.summary}", call.desk.artifacts))
    why = ": ".join(part for part in (state.reason, state.detail) if part)
    text = f"research {research.run} ended without a report ({state.status}, {why}; {used}).\n{_remains(talk)}"
    return Result(bounded(text, call.desk.artifacts), success=False)


def _remains(talk: Sequence[Talk]) -> str:
    """What a research without an accepted report had found so far."""
    replies = [entry.message for entry in ordered(talk) if entry.message["role"] == "assistant"]
    calls = [call["function"] for reply in replies for call in reply.get("tool_calls") or ()]
    reports = [json.loads(call["arguments"]) for call in calls if call["name"] == REPORT.name]
    drafts = [report["findings"] for report in reports if report.get("findings")]
    texts = [str(reply["content"]) for reply in replies if reply.get("content")]
    if not replies:
        return "It had not begun."
    parts = []
    if drafts:
        parts.append(f"A report that was not accepted, since not all of it rests on a source:\n{drafts[-1]}")
    if texts:
        parts.append(f"Its last words:\n{texts[-1]}")
    # Without its first line, which is for who can read that history.
    _, _, turns = outline(ordered(talk), _OUTLINE_CHARS).partition("\n")
    return "\n".join([*parts, f"What it did:\n{turns}"])


TOOL = Tool(
    name="research",
    description=(
        "Have something found out by a research agent with a context of its own: it reads files of the workspace, logs "
        "and metrics of steps, and whatever else there is to read, changes nothing, and reports a recipe with its "
        "sources. Several calls in one reply work in parallel. Each draws on this run's budget."
    ),
    parameters=AskedResearch,
    run=_run,
    replay=Replay.IDEMPOTENT,
    effects=frozenset({Effect.SPENDS}),
    is_parallel=True,
    waits=True,
    intent=_intent,
)
