"""One turn of the model: reserve, say that it will be asked, ask, record what came.

The request is on record before it is sent and its outcome after, so a crash between the two is seen, charged and
repeated once knowingly, never silently.
"""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from random import random
from typing import Any

import structlog

from services.core import events as ev
from services.core.errors import BudgetSpent
from services.core.faults import reach
from services.core.ledger import Ledger
from services.core.lifecycle import Reason, Status
from services.core.pools import Pools
from services.core.records import MICRODOLLARS, RunState, Wait
from services.core.redaction import Redactor
from services.core.store import Draft, Talk
from services.core.workspace import Workspace
from services.worker import conversation as conv
from services.worker.context.brief import best_results, brief
from services.worker.context.tokens import tokens_of
from services.worker.context.view import Parts, View, budget_of, fit
from services.worker.decisions import WindUp
from services.worker.failures import Failure, ModelFailed
from services.worker.mending import Mend, mend_of
from services.worker.model import Message, Model
from services.worker.prices import FREE, Usage, estimate_tokens
from services.worker.reply import RawCall, Reply, encodable
from services.worker.retry import GiveUp, after_failure
from services.worker.session import Session
from services.worker.tools.tool import Tool

log = structlog.get_logger()

_CHUNK_SECONDS = 0.25
_CHUNK_CHARS = 2_000
_CUT = (
    "Your reply was cut off at the length limit, so its tool calls were not carried out. "
    "Make it shorter: write long files in several parts."
)
_CUT_TEXT = "Your reply was cut off at the length limit. Go on with a shorter one."


# A provider that refused did no work; one that was cut off in the middle may have done all of it.
_UNCERTAIN = frozenset({Failure.CONNECTION, Failure.TIMEOUT, Failure.INTERRUPTED})
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class ModelTurn:
    """Takes turns. Shared by all runs of a worker process."""

    model: Model
    tools: dict[str, Tool[Any]]
    ledger: Ledger
    workspace: Workspace
    redactor: Redactor
    max_tokens: int
    retry_seconds: float
    pools: Pools

    def ask(self, session: Session) -> WindUp | None:
        """Let the model take one turn. Returns the end it led to, if it did.

        After a failure that can pass, the run is parked and the lease released; the caller sees the status.
        """
        seen, spend = len(session.talk), session.state.spend
        view = self._view(session)
        if isinstance(view, WindUp):
            return view
        reserved = self._reservation(session.state, view.messages)
        if isinstance(reserved, WindUp):
            return reserved
        call = f"{session.run}-c{session.state.spend.calls + 1}"
        try:
            self.ledger.reserve(session.state.tenant, f"model:{call}", reserved)
        except BudgetSpent as error:
            return WindUp(Reason.TENANT_BUDGET, str(error))
        reach("worker.reserved")

        def request(state: RunState) -> Draft | None:
            # What was said since would stand before a reply that never saw it, and what was spent since is not counted.
            if len(session.talk) != seen or state.spend != spend:
                return None
            return _request(state, call, reserved, view, session.talk)

        if not session.write(request):
            self.ledger.settle(session.state.tenant, f"model:{call}", 0)
            return None
        reach("worker.model_requested")
        return self._carry_out(session, call, view.messages)

    def settle_unknown(self, session: Session) -> WindUp | None:
        """Record a call whose worker died: outcome unknown, charged at its reservation. Returns the end it led to."""
        pending = session.state.model_call
        if pending is None:
            return None
        cost, failures = pending.reserved_microdollars, session.state.model_failures + 1
        failed = ev.LlmFailed(
            call=pending.call,
            model=session.state.model,
            failure=Failure.UNKNOWN_OUTCOME,
            detail="the worker that made the call died; the provider may have answered",
            cost_usd=cost / MICRODOLLARS,
        )
        session.write(lambda state: Draft((failed,)) if state.model_call else None)
        reach("worker.unknown_recorded")
        self.ledger.settle(session.state.tenant, f"model:{pending.call}", cost)
        verdict = after_failure(Failure.UNKNOWN_OUTCOME, failures, None, self.retry_seconds, 0.0)
        return WindUp(verdict.reason, failed.detail) if isinstance(verdict, GiveUp) else None

    def _view(self, session: Session) -> View | WindUp:
        """What the model is shown, cut to its window."""
        state, talk = session.state, conv.ordered(session.talk)
        paths = [entry.path for entry in self.workspace.list(state.input_snapshot)]
        system = files("services.worker.prompts").joinpath("system.md").read_text()
        choices = conv.choices_text(self.pools, state.tenant)
        opening = conv.opening(f"{system}\n{choices}" if choices else system, state, paths)
        told = brief(state, talk, best_results(state), time.time()) if conv.has_replied(talk) else ""
        window = self.model.window(state.model)
        budget = budget_of(window, self.max_tokens, state.window)
        view = fit(Parts(opening, talk, told, tokens_of(self._schemas())), state.window.cuts, budget)
        if view is not None:
            return view
        return WindUp(
            Reason.CONTEXT_EXCEEDED,
            f"the goal and the newest turn alone do not fit into the {window} tokens of {state.model}; take a model "
            "with a larger window, or put what is long in the goal into input files",
        )

    def _reservation(self, state: RunState, messages: list[Message]) -> int | WindUp:
        price = self.model.price(state.model)
        cap = state.limits.dollars
        if price is None and (cap is not None or self.ledger.is_capped(state.tenant)):
            detail = f"nobody knows the price of {state.model}; set COHORT_PRICE_PROMPT and COHORT_PRICE_COMPLETION"
            return WindUp(Reason.MODEL_REFUSED, detail)
        prompt = estimate_tokens(messages, self._schemas())
        reserved = (price or FREE).microdollars(Usage(prompt, self.max_tokens))
        used = state.spend.microdollars + state.spend.reserved_microdollars
        if cap is not None and used + reserved > cap * MICRODOLLARS:
            left = cap - used / MICRODOLLARS
            detail = f"${left:.4f} of ${cap:g} are left, and the next call could cost ${reserved / MICRODOLLARS:.4f}"
            return WindUp(Reason.DOLLAR_LIMIT, detail)
        return reserved

    def _schemas(self) -> list[dict[str, Any]]:
        return [tool.schema for tool in self.tools.values()]

    def _carry_out(self, session: Session, call: str, messages: list[Message]) -> WindUp | None:
        chunks = _Chunks(session)
        try:
            reply = self.model.ask(
                session.state.model,
                messages,
                self._schemas(),
                chunks.add,
                lambda: session.is_to_end,
                session.state.effort,
            )
        except ModelFailed as failure:
            session.held.check()
            return self._failed(session, call, failure)
        chunks.flush()
        reach("worker.model_replied")
        price = self.model.price(session.state.model) or FREE
        cost = price.microdollars(reply.usage)
        session.write(lambda state: reply_draft(state, call, reply, cost, self.tools))
        reach("worker.reply_recorded")
        self.ledger.settle(session.state.tenant, f"model:{call}", cost)
        reach("worker.settled")
        return None

    def _failed(self, session: Session, call: str, failure: ModelFailed) -> WindUp | None:
        state = session.state
        pending = state.model_call
        price = self.model.price(state.model) or FREE
        used = price.microdollars(failure.usage)
        cost = pending.reserved_microdollars if pending and failure.kind in _UNCERTAIN else used
        failures = state.window.refused if failure.kind is Failure.CONTEXT else state.model_failures
        verdict = after_failure(failure.kind, failures + 1, failure.retry_after, self.retry_seconds, random())
        seconds = None if isinstance(verdict, GiveUp) else verdict.seconds
        detail = self.redactor.redact(str(failure))
        mend = mend_of(state, failure.kind, verdict, detail)
        seconds = 0.0 if mend else seconds
        failed = ev.LlmFailed(
            call=call,
            model=state.model,
            failure=failure.kind,
            detail=detail,
            cost_usd=cost / MICRODOLLARS,
            retry_in_seconds=seconds,
        )
        log.warning("model_call_failed", run=state.run, call=call, failure=failure.kind, retry_in_seconds=seconds)
        parks = seconds is not None and failure.kind is not Failure.INTERRUPTED and mend is None
        session.write(lambda now: _failure_draft(now, failed, seconds if parks else None, mend), release=parks)
        reach("worker.failure_recorded")
        self.ledger.settle(state.tenant, f"model:{call}", cost)
        return WindUp(verdict.reason, failed.detail) if isinstance(verdict, GiveUp) and mend is None else None


def _request(state: RunState, call: str, reserved: int, view: View, talk: Sequence[Talk]) -> Draft | None:
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


def _failure_draft(state: RunState, failed: ev.LlmFailed, seconds: float | None, mend: Mend | None) -> Draft:
    if seconds is None or state.status is not Status.RUNNING:
        return Draft((failed, mend) if mend else (failed,))
    wait = Wait(kind="model", until=time.time() + seconds)
    move = ev.StatusChanged(
        source=state.status, target=Status.WAITING, reason=Reason.WAITING_FOR_MODEL, detail=failed.failure
    )
    return Draft((failed, move, ev.Parked(wait=wait)))


def reply_draft(state: RunState, call: str, reply: Reply, cost: int, tools: dict[str, Tool[Any]]) -> Draft:
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
        completion_tokens=reply.usage.completion,
        total_tokens=reply.usage.prompt + reply.usage.completion,
        cache_read_tokens=reply.usage.cached,
        first_token_ms=reply.first_token_ms,
    )
    intents = [ev.ToolCall(tool=raw.name, arguments=conv.arguments_of(raw) or {}, tool_call_id=raw.id) for raw in calls]
    talk = [Talk(state.turn, conv.REPLY, conv.reply_message(reply.text, calls))]
    if is_cut:
        talk.append(Talk(state.turn, conv.NOTE, conv.user_message(_CUT if reply.calls else _CUT_TEXT)))
    refusals: list[ev.EventData] = []
    for index, raw in enumerate(calls):
        if problem := _problem(raw, tools):
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


def _problem(raw: RawCall, tools: dict[str, Tool[Any]]) -> str:
    """Why a call cannot even be tried; empty when it can."""
    if raw.name not in tools:
        return f"error: there is no tool {raw.name!r}; the tools are: {', '.join(tools)}"
    if conv.arguments_of(raw) is None:
        start = raw.arguments[:200]
        return f"error: the arguments are no JSON object, so nothing was done; they begin: {start}"
    return ""


class _Chunks:
    """Puts deltas together into pieces of some size, so that the log holds a few events a second and not hundreds."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._parts: list[str] = []
        self._since = time.monotonic()

    def add(self, text: str) -> None:
        self._parts.append(text)
        if time.monotonic() - self._since > _CHUNK_SECONDS or sum(map(len, self._parts)) > _CHUNK_CHARS:
            self.flush()

    def flush(self) -> None:
        text, self._parts, self._since = encodable("".join(self._parts)), [], time.monotonic()
        if text:
            self._session.write(lambda _: Draft((ev.AssistantChunk(content=text),)))
