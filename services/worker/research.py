"""Researches: runs of the same engine that a run has begun to find something out for it.

A research is wanted by an event of its parent's log, which holds its limits; only then its run is made, under an id
that follows from the call. Its end becomes an event of the parent's log, which settles what it used: by the worker that
ended it, or else by whoever archives it. Every function here may be repeated.
"""

from dataclasses import dataclass
from hashlib import sha256

import structlog

from services.core import events as ev
from services.core.errors import BudgetSpent, RunNotFound
from services.core.faults import reach
from services.core.hints import Hints
from services.core.keys import run_id_from
from services.core.lifecycle import Reason, Status
from services.core.records import MICRODOLLARS, Limits, RunState
from services.core.research import Parent, Research
from services.core.store import Draft, RunStore, Talk

log = structlog.get_logger()

_TITLE_CHARS = 200


@dataclass(frozen=True)
class ResearchTerms:
    """What one research may use at most. Without `dollars`, as much as its run can spare."""

    turns: int = 20
    minutes: float = 30.0
    tokens: int = 500_000
    dollars: float | None = None


def research_id(run: str, tool_call_id: str) -> str:
    """The run that does the research which that call of `run` begins."""
    return run_id_from(sha256(f"{run}\0{tool_call_id}".encode()).digest())


def started(state: RunState, tool_call_id: str, task: str, terms: ResearchTerms) -> tuple[ev.EventData, ...]:
    """The events that want a research. Raises `BudgetSpent` where the run cannot afford one."""
    limits, research = limits_of(state, terms), research_id(state.run, tool_call_id)
    title = " ".join(task.split())[:_TITLE_CHARS]
    wanted = ev.ResearchStarted(
        research=research,
        tool_call_id=tool_call_id,
        title=title,
        limits=limits,
        reserved_microdollars=round((limits.dollars or 0) * MICRODOLLARS),
    )
    return wanted, _said(research, title, "Starting research sub-agent...")


def limits_of(state: RunState, terms: ResearchTerms) -> Limits:
    """The limits of a research that the run begins now: the terms, and half at most of what the run has left.

    Half, so that the run can go on if something comes between. Raises `BudgetSpent` where nothing is left.
    """
    spend, tokens, microdollars = state.spend, terms.tokens, None
    if state.limits.tokens is not None:
        tokens = min(tokens, (state.limits.tokens - spend.tokens - state.held_tokens) // 2)
    if terms.dollars is not None:
        microdollars = round(terms.dollars * MICRODOLLARS)
    if state.limits.dollars is not None:
        left = round(state.limits.dollars * MICRODOLLARS) - spend.microdollars - spend.reserved_microdollars
        microdollars = left // 2 if microdollars is None else min(microdollars, left // 2)
    if tokens < 1 or (microdollars is not None and microdollars < 1):
        text = "the run has too little left of its tokens or dollars for a research; go on without one"
        raise BudgetSpent(text, scope="run")
    dollars = None if microdollars is None else microdollars / MICRODOLLARS
    return Limits(turns=terms.turns, minutes=terms.minutes, tokens=tokens, dollars=dollars)


@dataclass(frozen=True)
class Researches:
    """The researches of all runs. Shared by the threads of a worker process."""

    store: RunStore
    hints: Hints
    terms: ResearchTerms = ResearchTerms()

    def begin(self, parent: RunState, research: Research, task: str) -> None:
        """Make the run of a research that is on record, unless it is there already."""
        accepted = ev.RunAccepted(
            tenant=parent.tenant,
            goal=task,
            model=parent.model,
            limits=research.limits,
            labels=parent.labels,
            snapshot=parent.snapshot,
            deadline=parent.ends_at,
            accepted_by=parent.accepted_by,
            rules=parent.rules,
            fallback_model=parent.fallback_model,
            effort=parent.effort,
            parent=Parent(run=parent.run, tool_call_id=research.tool_call_id),
        )
        if self.store.create(research.run, research.tool_call_id, accepted):
            log.info("research_begun", run=parent.run, research=research.run)
        reach("worker.research_made")
        self.hints.publish(research.run)

    def found(self, research: str) -> tuple[RunState, list[Talk]]:
        """The run of a research, and its conversation."""
        return self.store.state(research), self.store.talk(research)

    def is_orphan(self, state: RunState) -> bool:
        """Whether the run is a research that nobody waits for any more."""
        if state.parent is None:
            return False
        status = self.store.status(state.parent.run)
        return status is None or status.is_final or status is Status.CANCELLING

    def with_steps(self, state: RunState) -> RunState:
        """What a tool is shown of a run: a research sees the steps of its parent as they stand now."""
        if state.parent is None:
            return state
        return state.model_copy(update={"steps": self.store.state(state.parent.run).steps})

    def end(self, parent: RunState) -> None:
        """Have the researches under way ended, because their parent is ending."""
        for research in parent.live_researches():
            try:
                state = self.store.record(research.run, "parent_ended", _ending)
            except RunNotFound:
                # Wanted, and never made. Who makes it all the same makes an orphan, which ends by itself.
                unmade = ev.ResearchFinished(research=research.run, status=Status.CANCELLED, reason=Reason.PARENT_ENDED)
                _record(self.store, parent.run, unmade)
                continue
            tell_parent(self.store, state)
            self.hints.publish(research.run)

    def tell(self, state: RunState) -> None:
        """Tell the parent of a research that is over, and have it looked at."""
        if tell_parent(self.store, state) and state.parent is not None:
            reach("worker.research_told")
            self.hints.publish(state.parent.run)


def tell_parent(store: RunStore, state: RunState) -> bool:
    """Record the end of a research in its parent's log; True when this is a research, and over."""
    if state.parent is None or not state.status.is_final:
        return False
    spend = state.spend
    over = ev.ResearchFinished(
        research=state.run,
        status=state.status,
        reason=state.reason,
        turns=state.turn,
        cost_usd=spend.microdollars / MICRODOLLARS,
        prompt_tokens=spend.prompt_tokens,
        completion_tokens=spend.completion_tokens,
        cache_read_tokens=spend.cached_tokens,
    )
    try:
        _record(store, state.parent.run, over)
    except RunNotFound:
        log.warning("research_without_parent", run=state.run, parent=state.parent.run)
    return True


def _record(store: RunStore, parent: str, over: ev.ResearchFinished) -> None:
    def decide(state: RunState) -> Draft:
        known = state.researches.get(over.research)
        if known is None or not known.is_live:
            return Draft(())
        return Draft((over, _said(known.run, known.title, "Research complete.")))

    store.record(parent, f"research:{over.research}", decide)


def _said(research: str, title: str, text: str) -> ev.ToolLog:
    """What clients of ml-intern look for in the log of a run that has something found out."""
    return ev.ToolLog(tool="research", log=text, agent_id=research, label=title)


def _ending(state: RunState) -> Draft:
    if state.status.is_final or state.status is Status.CANCELLING:
        return Draft(())
    move = ev.StatusChanged(source=state.status, target=Status.CANCELLING, reason=Reason.PARENT_ENDED)
    return Draft((move,))
