"""What a playbook replies to a conversation: a pure function of the two.

Nothing is remembered between requests. The state is found by walking the conversation from the
playbook's start, one earlier reply at a time, so the same messages always get the same reply,
from any process.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from re import Pattern
from typing import assert_never

from services.scripted.conversation import Heard, Message, Turn, read_conversation
from services.scripted.faults import ArgumentsFault, ContentFault, Fault
from services.scripted.placeholders import Unfillable, Value, fill, number
from services.scripted.playbook import Playbook, Rule, When, Within

SHOWN_CHARACTERS = 200


class Unanswerable(Exception):
    """The conversation doesn't fit the playbook; the text names the state and what came back."""


class FinishReason(StrEnum):
    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class ReplyCall:
    id: str
    tool: str
    arguments: str
    """As sent: JSON, unless a fault has spoilt it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`fault` is the state's; whether it is due is for the caller to decide (FaultLedger)."""

    state: str
    turn: int
    text: str
    calls: tuple[ReplyCall, ...]
    finish_reason: FinishReason
    fault: Fault | None


def next_reply(playbook: Playbook, messages: Sequence[Message]) -> Reply:
    """The reply to `messages` (the provider's format). Raises ConversationInvalid and Unanswerable."""
    conversation = read_conversation(messages)
    walk = _Walk(playbook, conversation.opening)
    for turn in conversation.turns:
        walk.follow(turn)
    return walk.reply()


def spoilt(reply: Reply, fault: ArgumentsFault | ContentFault) -> Reply:
    """The reply with a fault of its content in it."""
    if isinstance(fault, ArgumentsFault):
        head = tuple(replace(call, arguments=fault.arguments) for call in reply.calls[:1])
        return replace(reply, calls=head + reply.calls[1:])
    match fault.kind:
        case "empty":
            return replace(reply, text="", calls=(), finish_reason=FinishReason.STOP)
        case "length" if reply.calls:
            last = reply.calls[-1]
            cut = replace(last, arguments=last.arguments[: len(last.arguments) // 2])
            return replace(reply, calls=(*reply.calls[:-1], cut), finish_reason=FinishReason.LENGTH)
        case "length":
            return replace(reply, text=reply.text[: len(reply.text) // 2], finish_reason=FinishReason.LENGTH)
        case _:
            assert_never(fault.kind)


class _Walk:
    """Where a walk along one conversation stands: state, variables and what was heard so far."""

    def __init__(self, playbook: Playbook, opening: Heard) -> None:
        self._playbook = playbook
        self._heard = [opening]
        self._turn = 0
        self._variables: dict[str, Value] = {**playbook.variables, "turn": 0}
        self._state = playbook.start
        self._pass_silent_states()

    def follow(self, turn: Turn) -> None:
        """Go on from the current state by the reply it gave and what came in after it.

        A reply without the state's calls is one that its fault has spoilt: the walk stays, to give it again.
        """
        state = self._playbook.states[self._state]
        expected = tuple(call.tool for call in state.call)
        is_spoilt = turn.tools != expected
        if is_spoilt and state.fault is None:
            raise self._unanswerable(f"reply {self._turn + 1} should call {list(expected)} but has {list(turn.tools)}")
        self._turn += 1
        self._variables["turn"] = self._turn
        self._heard.append(turn.heard)
        if not is_spoilt:
            self._choose()
            self._pass_silent_states()

    def reply(self) -> Reply:
        """What the current state says, its placeholders filled."""
        state = self._playbook.states[self._state]
        try:
            text = str(fill(state.say, self._variables))
            calls = tuple(
                ReplyCall(
                    id=f"call_{self._turn + 1:04d}_{index}",
                    tool=call.tool,
                    arguments=json.dumps(fill(call.arguments, self._variables), ensure_ascii=False),
                )
                for index, call in enumerate(state.call, 1)
            )
        except Unfillable as error:
            raise self._unanswerable(str(error)) from error
        reason = FinishReason.TOOL_CALLS if calls else FinishReason.STOP
        return Reply(self._state, self._turn + 1, text, calls, reason, state.fault)

    def _pass_silent_states(self) -> None:
        passed: list[str] = []
        while self._playbook.states[self._state].is_silent:
            if self._state in passed:
                raise self._unanswerable(f"goes round in a circle without a reply: {', '.join(passed)}")
            passed.append(self._state)
            self._choose()

    def _choose(self) -> None:
        """Go where the first rule that holds points, keeping what it captured."""
        rules = self._playbook.states[self._state].next
        if not rules:
            raise self._unanswerable("the playbook ends here")
        for rule in rules:
            if self._holds(rule):
                self._state = rule.goto
                return
        raise self._unanswerable("no rule of `next` holds")

    def _holds(self, rule: Rule) -> bool:
        """Whether the rule holds; if so, its captures and settings are variables from now on."""
        captured = self._captured(rule.when) if rule.when else {}
        if captured is None:
            return False
        variables = {**self._variables, **captured} if captured else self._variables
        try:
            if rule.when and not _reaches(rule.when, variables):
                return False
            self._variables = {**variables, **fill(rule.set, variables)} if rule.set else variables
        except Unfillable as error:
            raise self._unanswerable(str(error)) from error
        return True

    def _captured(self, when: When) -> dict[str, Value] | None:
        """The named groups that the rule's patterns found, or None where one of them fails."""
        heard = self._heard[::-1] if when.within is Within.CONVERSATION else self._heard[-1:]
        outputs = [one for one in chain.from_iterable(h.outputs for h in heard) if when.tool in (None, one.tool)]
        if when.tool and not outputs:
            return None
        texts = [one.text for one in outputs]
        if when.not_matches and _search(when.not_matches, texts) is not None:
            return None
        captured: dict[str, Value] = {}
        users = chain.from_iterable(h.users for h in heard)
        for pattern, candidates in ((when.matches, texts), (when.user_matches, users)):
            if pattern is not None:
                found = _search(pattern, candidates)
                if found is None:
                    return None
                captured |= found
        return captured

    def _unanswerable(self, why: str) -> Unanswerable:
        last = self._heard[-1]
        shown = [f"{one.tool}: {one.text[:SHOWN_CHARACTERS]!r}" for one in last.outputs]
        shown += [f"user: {text[:SHOWN_CHARACTERS]!r}" for text in last.users]
        came = "; ".join(shown) or "nothing"
        return Unanswerable(f"playbook {self._playbook.name}, state {self._state}: {why}. What came back: {came}")


def _search(pattern: Pattern[str], texts: Iterable[str]) -> dict[str, Value] | None:
    """The named groups of the first text in which the pattern is found, or None."""
    for text in texts:
        found = pattern.search(text)
        if found:
            return {name: value for name, value in found.groupdict().items() if value is not None}
    return None


def _reaches(when: When, variables: dict[str, Value]) -> bool:
    """Whether each variable of `at_least` reaches its number. Raises Unfillable."""
    return all(
        number(name, variables) >= number("limit", {"limit": fill(limit, variables)})
        for name, limit in when.at_least.items()
    )
