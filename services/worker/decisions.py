"""What to do next with a run. Pure: the state, the talk and the clock in, one action out.

The order of the rules is the order of their precedence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.core.lifecycle import Reason, Status
from services.core.records import MICRODOLLARS, RunState
from services.core.store import Talk
from services.worker.circles import Circle, circle_of, must_nudge, must_stop
from services.worker.context.outline import outline
from services.worker.conversation import last_word, ordered

# Low enough to spare the fleet, high enough that a day of dying workers is not held against a run.
POISON_STRIKES = 10


@dataclass(frozen=True)
class Begin:
    """Take up a run that was waiting for its first turn."""


@dataclass(frozen=True)
class Resume:
    """Go on with a run whose wait is over by the clock."""


@dataclass(frozen=True)
class Settle:
    """A worker died during a model call: record that its outcome is unknown."""


@dataclass(frozen=True)
class Answer:
    """Answer the tool calls that have no answer yet."""


@dataclass(frozen=True)
class Ask:
    """Let the model take a turn."""


@dataclass(frozen=True)
class AskHuman:
    """Stop until a person answers."""

    reason: Reason
    detail: str


@dataclass(frozen=True)
class Nudge:
    """Tell the agent something before it takes its next turn."""

    text: str


@dataclass(frozen=True)
class WindUp:
    """Begin an early end: stop what runs."""

    reason: Reason
    detail: str


@dataclass(frozen=True)
class End:
    """Nothing runs any more: close the run."""


@dataclass(frozen=True)
class Leave:
    """Nothing to do before something happens, or for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Yield:
    """Enough for one slice: let other runs have the slot."""


Action = Begin | Resume | Settle | Answer | Ask | Nudge | AskHuman | WindUp | End | Leave | Yield

_CANCEL_POLL_SECONDS = 2.0
_QUESTION_CHARS = 2_000


def next_action(state: RunState, talk: Sequence[Talk], now: float, strikes: int, slice_is_over: bool) -> Action:
    """The one thing to do now. `now` is seconds since the epoch."""
    if state.status is Status.CANCELLING:
        return _ending(state)
    if now >= state.ends_at:
        return WindUp(Reason.DEADLINE, "the run's time is up")
    if strikes >= POISON_STRIKES:
        return WindUp(Reason.POISON, f"{strikes} workers in a row died on this run without getting any further")
    if state.status is Status.QUEUED:
        return Begin()
    if state.status is Status.WAITING:
        return Resume()
    if state.status is Status.NEEDS_HUMAN:
        return Leave(max(0.0, state.ends_at - now))
    return _running(state, talk, now, slice_is_over)


def _ending(state: RunState) -> Action:
    if state.model_call is not None:
        return Settle()
    return Leave(_CANCEL_POLL_SECONDS) if state.live_attempts() else End()


def _running(state: RunState, talk: Sequence[Talk], now: float, slice_is_over: bool) -> Action:
    if state.model_call is not None:
        return Settle()
    if state.open_calls:
        return Answer()
    if exceeded := limit_reached(state):
        return exceeded
    exhausted = state.exhausted_step()
    if exhausted is not None:
        step = state.steps[exhausted]
        detail = f"step {exhausted} failed {step.failed_attempts} times; the last one: {step.last.reason}"
        return AskHuman(Reason.ATTEMPTS_EXHAUSTED, detail)
    circle = circle_of(state, talk)
    if circle is not None and must_stop(circle, talk):
        return _stopped(circle, talk)
    if circle is not None and must_nudge(circle, talk):
        return Nudge(circle.text)
    if state.wait is not None and state.wait.kind == "model" and state.wait.until and now < state.wait.until:
        # A message woke the run before the time at which the provider may be asked again.
        return Leave(state.wait.until - now)
    return Yield() if slice_is_over else Ask()


def _stopped(circle: Circle, talk: Sequence[Talk]) -> AskHuman:
    """The end of a circle: a person is told what repeats and what was tried, or what the agent says all the time."""
    if circle.is_text:
        said = last_word(talk)
        text = str(said["content"] or "") if said else ""
        return AskHuman(Reason.ASKED, text[:_QUESTION_CHARS] or "the agent replied with nothing")
    tried = outline(ordered(talk), _QUESTION_CHARS)
    return AskHuman(
        Reason.IN_CIRCLES, f"the agent goes in circles: {circle.what}, {circle.times} times in a row\n{tried}"
    )


def limit_reached(state: RunState) -> WindUp | None:
    """The limit that forbids another turn, if there is one."""
    limits, spend = state.limits, state.spend
    if state.turn >= limits.turns and not state.model_failures:
        return WindUp(Reason.TURN_LIMIT, f"all {limits.turns} turns are used")
    if limits.tokens is not None and spend.tokens >= limits.tokens:
        return WindUp(Reason.TOKEN_LIMIT, f"{spend.tokens} of {limits.tokens} tokens are used")
    if limits.dollars is not None and spend.microdollars >= limits.dollars * MICRODOLLARS:
        return WindUp(Reason.DOLLAR_LIMIT, f"${spend.microdollars / MICRODOLLARS:.4f} of ${limits.dollars:g} are spent")
    return None
