"""One turn of the model: reserve, say that it will be asked, ask, record what came.

The request is on record before it is sent and its outcome after, so a crash between the two is seen, charged and
repeated once knowingly, never silently.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from random import random
from typing import Any

import structlog

from services.core import events as ev
from services.core.errors import BudgetSpent
from services.core.faults import reach
from services.core.ledger import Ledger
from services.core.lifecycle import Reason
from services.core.pools import Pools
from services.core.records import MICRODOLLARS, RunState
from services.core.redaction import Redactor
from services.core.store import Draft
from services.core.workspace import Workspace
from services.worker import conversation as conv
from services.worker.chunks import Chunks
from services.worker.context.brief import best_results, brief
from services.worker.context.tokens import tokens_of
from services.worker.context.view import Parts, View, budget_of, fit
from services.worker.decisions import WindUp
from services.worker.drafts import failure_draft, reply_draft, request_draft
from services.worker.failures import Failure, ModelFailed
from services.worker.mending import mend_of
from services.worker.model import Message, Model
from services.worker.prices import FREE, estimate_tokens
from services.worker.retry import GiveUp, after_failure
from services.worker.session import Session
from services.worker.tools import toolbox
from services.worker.tools.tool import Toolbox

log = structlog.get_logger()


# A provider that refused did no work; one that was cut off in the middle may have done all of it.
_UNCERTAIN = frozenset({Failure.CONNECTION, Failure.TIMEOUT, Failure.INTERRUPTED})


@dataclass(frozen=True)
class ModelTurn:
    """Takes turns. Shared by all runs of a worker process."""

    model: Model
    tools: Toolbox
    ledger: Ledger
    workspace: Workspace
    redactor: Redactor
    max_tokens: int
    retry_seconds: float
    pools: Pools
    overhead: Callable[[float], None]
    """Told what each answered turn took besides the model's time, in seconds."""

    def ask(self, session: Session) -> WindUp | None:
        """Let the model take one turn. Returns the end it led to, if it did.

        After a failure that can pass, the run is parked and the lease released; the caller sees the status.
        """
        began = time.monotonic()
        seen, spend = len(session.talk), session.state.spend
        box = toolbox(self.tools, session.state, is_last_turn=is_last_turn(session.state))
        view = self._view(session, box)
        if isinstance(view, WindUp):
            return view
        reserved = self._reservation(session.state, view.messages, box)
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
            return request_draft(state, call, reserved, view, session.talk)

        if not session.write(request):
            self.ledger.settle(session.state.tenant, f"model:{call}", 0)
            return None
        reach("worker.model_requested")
        return self._carry_out(session, call, view.messages, box, began)

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

    def _view(self, session: Session, box: Toolbox) -> View | WindUp:
        """What the model is shown, cut to its window."""
        state, talk = session.state, conv.ordered(session.talk)
        paths = [entry.path for entry in self.workspace.list(state.input_snapshot)]
        is_research = state.parent is not None
        prompt = "research.md" if is_research else "system.md"
        system = files("services.worker.prompts").joinpath(prompt).read_text()
        choices = "" if is_research else conv.choices_text(self.pools, state.tenant)
        opening = conv.opening(f"{system}\n{choices}" if choices else system, state, paths)
        told = brief(state, talk, best_results(state), time.time()) if conv.has_replied(talk) else ""
        window = self.model.window(state.model)
        budget = budget_of(window, self.max_tokens, state.window)
        view = fit(Parts(opening, talk, told, tokens_of(_schemas(box))), state.window.cuts, budget)
        if view is not None:
            return view
        return WindUp(
            Reason.CONTEXT_EXCEEDED,
            f"the goal and the newest turn alone do not fit into the {window} tokens of {state.model}; take a model "
            "with a larger window, or put what is long in the goal into input files",
        )

    def _reservation(self, state: RunState, messages: list[Message], box: Toolbox) -> int | WindUp:
        price = self.model.price(state.model)
        cap = state.limits.dollars
        if price is None and (cap is not None or self.ledger.is_capped(state.tenant)):
            detail = f"nobody knows the price of {state.model}; set COHORT_PRICE_PROMPT and COHORT_PRICE_COMPLETION"
            return WindUp(Reason.MODEL_REFUSED, detail)
        prompt = estimate_tokens(messages, _schemas(box))
        if exceeded := _tokens_exceeded(state, prompt + self.max_tokens):
            return exceeded
        reserved = (price or FREE).most_microdollars(prompt, self.max_tokens)
        used = state.spend.microdollars + state.spend.reserved_microdollars
        if cap is not None and used + reserved > cap * MICRODOLLARS:
            left = cap - used / MICRODOLLARS
            detail = f"${left:.4f} of ${cap:g} are left, and the next call could cost ${reserved / MICRODOLLARS:.4f}"
            return WindUp(Reason.DOLLAR_LIMIT, detail)
        return reserved

    def _carry_out(
        self, session: Session, call: str, messages: list[Message], box: Toolbox, began: float
    ) -> WindUp | None:
        chunks, asked = Chunks(session), time.monotonic()
        try:
            reply = self.model.ask(
                session.state.model,
                messages,
                _schemas(box),
                chunks.add,
                lambda: session.is_to_end,
                session.state.effort,
            )
        except ModelFailed as failure:
            session.held.check()
            return self._failed(session, call, failure)
        began += time.monotonic() - asked
        chunks.flush()
        reach("worker.model_replied")
        price = self.model.price(session.state.model) or FREE
        cost = price.microdollars(reply.usage)
        session.write(lambda state: reply_draft(state, call, reply, cost, box))
        reach("worker.reply_recorded")
        self.ledger.settle(session.state.tenant, f"model:{call}", cost)
        reach("worker.settled")
        self.overhead(time.monotonic() - began)
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
        session.write(lambda now: failure_draft(now, failed, seconds if parks else None, mend), release=parks)
        reach("worker.failure_recorded")
        self.ledger.settle(state.tenant, f"model:{call}", cost)
        return WindUp(verdict.reason, failed.detail) if isinstance(verdict, GiveUp) and mend is None else None


def is_last_turn(state: RunState) -> bool:
    """Whether no turn is left after the one that the run takes next."""
    return state.turn + (not state.model_failures) >= state.limits.turns


def _schemas(box: Toolbox) -> list[dict[str, Any]]:
    return [tool.schema for tool in box.values()]


def _tokens_exceeded(state: RunState, needed: int) -> WindUp | None:
    """A research may not pass its tokens, not even with its last call: they are its parent's, and held for it."""
    limit, used = state.limits.tokens, state.spend.tokens
    if state.parent is None or limit is None or used + needed <= limit:
        return None
    return WindUp(Reason.TOKEN_LIMIT, f"{used} of {limit} tokens are used, and the next call could use {needed}")
