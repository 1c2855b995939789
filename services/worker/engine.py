"""The durable engine: one hint, one slice of one run.

A slice claims the run, does one thing after another as `decisions` says, and gives the run back: parked, finished, or
due again at once. It may die at any line; whoever claims the run next goes on from what is recorded.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import structlog

from services.core import events as ev
from services.core.artifacts import ArtifactStoreUnavailable
from services.core.errors import Fenced, NewerRecord, RunNotFound, StoreUnavailable
from services.core.faults import reach
from services.core.hints import Hints
from services.core.lifecycle import Reason, Status, ending
from services.core.logging import about
from services.core.records import RunState
from services.core.store import Draft, Lease, Refused, RunStore, Talk
from services.worker import decisions as do
from services.worker.calls import Calls
from services.worker.conversation import NUDGE, has_said, has_unread, user_message
from services.worker.housekeeping import clear_if_over
from services.worker.leases import LeaseKeeper
from services.worker.metrics import FENCED, NEWER, UNAVAILABLE
from services.worker.moves import asking, last_events
from services.worker.research import Researches
from services.worker.session import Session
from services.worker.settling import settle_leftovers
from services.worker.shells import Interrupted, Shell
from services.worker.tools import toolbox
from services.worker.turn import ModelTurn

log = structlog.get_logger()

# Each slice may have paid for a model call before it finds that it cannot keep the reply.
_AWAY_SECONDS = 30.0


@dataclass(frozen=True)
class Slice:
    """How much of a run one hint may do."""

    turns: int
    seconds: float


@dataclass(frozen=True)
class Engine:
    """Advances runs. One for a worker process, shared by its threads.

    Once `draining` is set, slices end at the next turn and leave commands to whoever takes the run next.
    """

    store: RunStore
    keeper: LeaseKeeper
    turn: ModelTurn
    calls: Calls
    shell: Shell
    hints: Hints
    researches: Researches
    slice: Slice
    draining: threading.Event = field(default_factory=threading.Event)

    def advance(self, run: str) -> str:
        """Do one slice of `run`. Returns what came of it, for logs and counters."""
        with about(run=run):
            return self._advance(run)

    def _advance(self, run: str) -> str:
        held = self.keeper.claim(run)
        if isinstance(held, Refused):
            return held.why
        reach("worker.claimed")
        try:
            session = Session(self.store, held, self.draining, self.keeper.metrics)
            with about(tenant=session.state.tenant):
                return self._slice(session, held.lease)
        except (Fenced, RunNotFound) as error:
            log.warning("slice_fenced", error=str(error))
            self._clear_if_over(run)
            return FENCED
        except NewerRecord as error:
            # Given back, so that it is no strike against the run; a worker that knows the record takes it.
            log.warning("run_left_to_newer_version", error=str(error))
            self.store.release(held.lease)
            held.is_given_back = True
            return NEWER
        except StoreUnavailable as error:
            log.warning("slice_lost_its_store", error=str(error))
            return UNAVAILABLE
        except ArtifactStoreUnavailable as error:
            log.warning("slice_lost_its_artifacts", error=str(error))
            self.store.release(held.lease)
            held.is_given_back = True
            return UNAVAILABLE
        finally:
            self.keeper.drop(held)

    def _slice(self, session: Session, lease: Lease) -> str:
        if lease.is_inherited:
            settle_leftovers(self.turn.ledger, self.store, session.state)
        self._work_while_it_can(session, lease.strikes)
        self.researches.tell(session.state)
        return session.state.status

    def _clear_if_over(self, run: str) -> None:
        """Who slept through the end of a run may have laid files for it since."""
        try:
            clear_if_over(self.store, self.shell, run)
        except StoreUnavailable as error:
            log.warning("housekeeping_put_off", error=str(error))

    def _work_while_it_can(self, session: Session, strikes: int) -> None:
        """Work; where the artifact store is away, give the run back for a while, which is no strike against it."""
        try:
            self._work(session, strikes)
        except ArtifactStoreUnavailable as error:
            log.warning("slice_lost_its_artifacts", error=str(error))
            session.write(lambda _: Draft(()), release=True, wake_in=_AWAY_SECONDS)

    def _work(self, session: Session, strikes: int) -> None:
        first_turn, started = session.state.turn, time.monotonic()
        while True:
            is_over = (
                session.state.turn - first_turn >= self.slice.turns
                or time.monotonic() - started > self.slice.seconds
                or self.draining.is_set()
            )
            # Who slept through the lease must not even reserve money.
            session.held.check()
            is_orphan = self.researches.is_orphan(session.state)
            action = do.next_action(session.state, session.talk, time.time(), strikes, is_over, is_orphan)
            if self._carry_out(session, action):
                return
            strikes = 0

    def _carry_out(self, session: Session, action: do.Action) -> bool:
        """Do it. True when the slice is over and the lease given back."""
        match action:
            case do.Begin() | do.Resume() | do.Settle() | do.WindUp() | do.Nudge():
                self._go_on(session, action)
                return False
            case do.Answer():
                return self._answer(session)
            case do.Ask():
                self._wind_up(session, self.turn.ask(session))
                return self._is_parked_or_over(session)
            case do.AskHuman() | do.End() | do.EndResearches() | do.Leave() | do.Yield():
                return self._leave(session, action)
            case _:
                assert_never(action)

    def _go_on(self, session: Session, action: do.Begin | do.Resume | do.Settle | do.WindUp | do.Nudge) -> None:
        match action:
            case do.Begin():
                session.write(self._begun)
            case do.Resume():
                session.write(_resumed)
            case do.Settle():
                self._wind_up(session, self.turn.settle_unknown(session))
            case do.WindUp():
                self._wind_up(session, action)
            case do.Nudge():
                session.write(lambda state: _nudged(state, session.talk, action))

    def _leave(self, session: Session, action: do.AskHuman | do.End | do.EndResearches | do.Leave | do.Yield) -> bool:
        match action:
            case do.AskHuman():
                return session.write(lambda state: _asking(state, session.talk, action), release=True)
            case do.End():
                self._end(session)
            case do.EndResearches():
                self.researches.end(session.state)
                session.write(lambda _: Draft(()), release=True, wake_in=action.seconds)
            case do.Leave():
                session.write(lambda _: Draft(()), release=True, wake_in=action.seconds)
            case do.Yield():
                self._give_back(session)
        return True

    def _wind_up(self, session: Session, why: do.WindUp | None) -> None:
        if why is not None:
            session.write(lambda state: _winding_up(state, why))

    def _answer(self, session: Session) -> bool:
        try:
            self.calls.answer(session)
        except Interrupted:
            session.held.check()
            session.refresh()
            return self._give_back(session) if self.draining.is_set() else False
        return self._is_parked_or_over(session)

    def _give_back(self, session: Session) -> bool:
        session.write(lambda _: Draft(()), release=True, wake_in=0.0)
        self.hints.publish(session.run)
        return True

    def _is_parked_or_over(self, session: Session) -> bool:
        return session.state.status.is_parked or session.state.status.is_final

    def _begun(self, state: RunState) -> Draft | None:
        if state.status is not Status.QUEUED:
            return None
        move = ev.StatusChanged(source=Status.QUEUED, target=Status.RUNNING)
        return Draft((move, ev.Ready(tool_count=len(toolbox(self.calls.tools, state))), ev.Processing()))

    def _end(self, session: Session) -> None:
        self.shell.close(session.run)
        reach("worker.cleared")
        session.write(_ended, release=True)
        reach("worker.ended")


def _resumed(state: RunState) -> Draft | None:
    if state.status is not Status.WAITING:
        return None
    return Draft((ev.StatusChanged(source=state.status, target=Status.RUNNING, detail="the wait is over"),))


def _asking(state: RunState, talk: Sequence[Talk], action: do.AskHuman) -> Draft | None:
    """The move to needs_human, unless the answer has come meanwhile."""
    is_answered = action.reason is Reason.ASKED and has_unread(talk)
    if state.status is not Status.RUNNING or is_answered:
        return None
    return Draft(tuple(asking(state, action.reason, action.detail)))


def _nudged(state: RunState, talk: Sequence[Talk], action: do.Nudge) -> Draft | None:
    """A word to the agent, unless a person's has come meanwhile."""
    if state.status is not Status.RUNNING or has_said(talk, state.turn):
        return None
    return Draft((ev.AgentNudged(text=action.text),), (Talk(state.turn, NUDGE, user_message(action.text)),))


def _winding_up(state: RunState, why: do.WindUp) -> Draft | None:
    if state.status is Status.CANCELLING:
        return None
    move = ev.StatusChanged(source=state.status, target=Status.CANCELLING, reason=why.reason, detail=why.detail)
    return Draft((move,))


def _ended(state: RunState) -> Draft:
    status = ending(state.reason)
    move = ev.StatusChanged(source=state.status, target=status, reason=state.reason, detail=state.detail)
    said: ev.EventData = (
        ev.Interrupted() if state.reason is Reason.CANCELLED_BY_USER else ev.ErrorRaised(error=state.detail or status)
    )
    return Draft((said, move, *last_events(status, state.reason, state.detail, {}, (), state)))
