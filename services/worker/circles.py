"""Whether an agent goes in circles: the same calls with the same answers, or the same failure of its steps again. Pure.

A call's signature is its tool, its arguments in canonical form and its answer. Waiting is no circle, however often.
What counts begins anew with each word of a person. First the agent is told what repeats; only if it goes on all the
same, it is stopped.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from services.core.records import Attempt, RunState
from services.core.store import Talk
from services.core.taxonomy import Failure, Owner
from services.worker.conversation import NOTE, NUDGE, REPLY, SAID, is_text_only

# Waiting and planning change nothing, and may have to be done again and again.
_EXEMPT = frozenset({"wait_for_steps", "plan"})
# Of these two failures in a row need not have anything in common.
_BROAD = frozenset({Failure.CODE_ERROR, Failure.CONFIG, Failure.NATIVE_CRASH})
_LONGEST_CYCLE = 5
_LOOKED_AT_TURNS = 20
_SHOWN_CHARS = 160
_TEXT, _CUT = "text", "cut"


@dataclass(frozen=True)
class Limits:
    """How often something may come in a row before the agent is told, and before it is stopped."""

    nudge: int
    stop: int


_SAME_TURN = Limits(3, 4)
_CYCLE = Limits(2, 3)
_NO_CALL = Limits(1, 3)
_CUT_OFF = Limits(2, 3)
_SAME_FAILURE = Limits(3, 4)


@dataclass(frozen=True)
class Circle:
    """What repeats: `what` names it, `times` is how often it came in a row; `limits` are those it is held to."""

    what: str
    times: int
    limits: Limits
    is_text: bool = False

    @property
    def text(self) -> str:
        """What the agent is told."""
        if self.is_text:
            return (
                f"{self.what}: nothing happens that way. Call `wait_for_steps` to wait, `finish` when all is done and "
                "shown, `ask` if you cannot go on without a person, and otherwise whatever tool comes next."
            )
        return (
            f"You are going in circles: {self.what}, {self.times} times in a row. Doing it once more will not help. "
            "Say what you have learnt, then try something else; if only a person can help, call `ask`."
        )


@dataclass(frozen=True)
class Turn:
    """One turn as far as circles are concerned. `signature` is empty where it does not count."""

    number: int
    signature: str
    shown: str


def circle_of(state: RunState, talk: Sequence[Talk]) -> Circle | None:
    """The circle that the run is in by now, None if it is in none."""
    turns = turns_of(_since_person(talk))[-_LOOKED_AT_TURNS:]
    return _wordy(turns) or _repeated(turns) or _failing(state)


def must_stop(circle: Circle, talk: Sequence[Talk]) -> bool:
    """Whether it was told of the circle, went on, and our patience is at its end."""
    return circle.times >= circle.limits.stop and _was_told(circle, talk)


def must_nudge(circle: Circle, talk: Sequence[Talk]) -> bool:
    """Whether it has to be told of the circle now. A reply of text alone needs a word each time, or nothing follows."""
    return circle.times >= circle.limits.nudge and (is_text_only(talk) or not _was_told(circle, talk))


def turns_of(talk: Sequence[Talk]) -> list[Turn]:
    """The turns in order, without those that only wait or plan."""
    answers = {(entry.turn, entry.index): str(entry.message.get("content") or "") for entry in talk}
    replies = sorted((entry for entry in talk if entry.index == REPLY), key=lambda entry: entry.turn)
    turns = [_turn(entry, answers) for entry in replies[-2 * _LOOKED_AT_TURNS :]]
    return [turn for turn in turns if turn.signature]


def _turn(reply: Talk, answers: dict[tuple[int, int], str]) -> Turn:
    calls = [
        (call["function"]["name"], _canonical(call["function"]["arguments"]), answers.get((reply.turn, index), ""))
        for index, call in enumerate(reply.message.get("tool_calls") or ())
    ]
    if not calls:
        return Turn(reply.turn, _CUT if (reply.turn, NOTE) in answers else _TEXT, "")
    counted = [call for call in calls if call[0] not in _EXEMPT]
    shown = "; ".join(f"{name}({arguments[:_SHOWN_CHARS]})" for name, arguments, _ in counted)
    return Turn(reply.turn, sha256(repr(counted).encode()).hexdigest() if counted else "", shown)


def _canonical(arguments: str) -> str:
    return json.dumps(json.loads(arguments), sort_keys=True, ensure_ascii=False)


def _since_person(talk: Sequence[Talk]) -> Sequence[Talk]:
    """What has come since a person last said something."""
    last = max((entry.turn for entry in talk if entry.index >= SAID), default=-1)
    return [entry for entry in talk if entry.turn > last]


def _was_told(circle: Circle, talk: Sequence[Talk]) -> bool:
    return any(entry.index == NUDGE and circle.what in entry.message["content"] for entry in _since_person(talk))


def _wordy(turns: Sequence[Turn]) -> Circle | None:
    """The last replies had no calls: they were text alone, or cut off before there was one."""
    last = turns[-1].signature if turns else ""
    times = _times([turn.signature for turn in turns], 1)
    if last == _TEXT:
        return Circle("You reply without calling a tool", times, _NO_CALL, is_text=True)
    return Circle("your replies are cut off at the length limit", times, _CUT_OFF) if last == _CUT else None


def _repeated(turns: Sequence[Turn]) -> Circle | None:
    """The shortest sequence of turns that has come several times, up to the last turn."""
    signatures = [turn.signature for turn in turns]
    for length in range(1, _LONGEST_CYCLE + 1):
        limits = _SAME_TURN if length == 1 else _CYCLE
        times = _times(signatures, length)
        if times >= limits.nudge:
            # From the same turn on each time, wherever in its round the circle is looked at.
            cycle = list(turns[-length:])
            start = min(range(length), key=lambda index: cycle[index].signature)
            shown = " → ".join(turn.shown for turn in cycle[start:] + cycle[:start])
            return Circle(f"{shown} with the same answer each time", times, limits)
    return None


def _times(signatures: Sequence[str], length: int) -> int:
    """How often the last `length` signatures have come in a row."""
    last, times, end = signatures[-length:], 0, len(signatures)
    while end >= length and signatures[end - length : end] == last:
        times, end = times + 1, end - length
    return times


def _failing(state: RunState) -> Circle | None:
    """The class in which the last attempts of steps have failed, whatever was changed in between.

    What the platform did to an attempt does not count, and neither does what failed before a person answered.
    """
    over = [
        attempt for step in state.steps.values() for attempt in _judged(step.attempts, state.forgiven.get(step.name, 0))
    ]
    over.sort(key=lambda attempt: attempt.ended or 0.0)
    times = _times([_class_of(attempt) for attempt in over], 1)
    if times < _SAME_FAILURE.nudge or not _class_of(over[-1]):
        return None
    return Circle(f"your steps fail with {_class_of(over[-1])}", times, _SAME_FAILURE)


def _judged(attempts: Sequence[Attempt], forgiven: int) -> list[Attempt]:
    """The attempts that say something of the agent's work: successes, and failures after the first `forgiven`."""
    failed = [attempt for attempt in attempts if attempt.status == "failed"][:forgiven]
    return [attempt for attempt in attempts if attempt.status in {"succeeded", "failed"} and attempt not in failed]


def _class_of(attempt: Attempt) -> str:
    """What failures have in common that count as the same; '' for what is no failure, or none of the agent's."""
    found = attempt.diagnosis
    if attempt.status != "failed" or found is None or found.owner is Owner.PLATFORM:
        return ""
    return f"{found.failure} {found.summary}" if found.failure in _BROAD else found.failure
