"""Turns that are long past, as lines: what was said, which tools were called, how each answer began. Pure."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from services.core.store import Talk
from services.worker.context.masking import first_line, pointer_of
from services.worker.conversation import REPLY, SAID

_SAID_CHARS = 160
_ARGUMENT_CHARS = 80
_PERSON_CHARS = 600
_HEAD = "What happened earlier in this run, in short (read(path='talk:<turn>:<call>') shows an answer whole):"


def outline(talk: Sequence[Talk], most: int) -> str:
    """The entries, which are whole turns in order, in about `most` characters. The oldest turns give way first.

    What people said is kept before anything else.
    """
    people = [f"turn {entry.turn}: a person said: {_person(entry)}" for entry in talk if entry.index >= SAID]
    people = _newest(people, most // 2)
    turns = [(turn, list(entries)) for turn, entries in groupby(talk, key=lambda entry: entry.turn)]
    lines = [_line(turn, entries) for turn, entries in turns]
    kept = _newest(lines, most - sum(map(len, people)))
    left = turns[: len(turns) - len(kept)]
    return "\n".join([_HEAD, *_counted(left), *kept, *people])


def _person(entry: Talk) -> str:
    text = str(entry.message.get("content") or "")
    return text if len(text) <= _PERSON_CHARS else f"{text[:_PERSON_CHARS]}… (all of it: {pointer_of(entry)})"


def _newest(lines: Sequence[str], most: int) -> list[str]:
    kept: list[str] = []
    for line in reversed(lines):
        most -= len(line) + 1
        if most < 0:
            break
        kept.append(line)
    return kept[::-1]


def _counted(left: Sequence[tuple[int, list[Talk]]]) -> list[str]:
    """One line for all turns that have no line of their own."""
    if not left:
        return []
    calls = Counter(call["function"]["name"] for _, entries in left for entry in entries for call in _calls(entry))
    told = ", ".join(f"{count} {name}" for name, count in calls.most_common())
    return [f"turns {left[0][0]} to {left[-1][0]}: {told or 'no calls'}"]


def _line(turn: int, entries: Sequence[Talk]) -> str:
    answers = {entry.index: str(entry.message.get("content") or "") for entry in entries}
    reply = next((entry for entry in entries if entry.index == REPLY), None)
    said = first_line(str(reply.message.get("content") or ""), _SAID_CHARS) if reply else ""
    calls = [
        f"{_call_text(call)} → {first_line(answers.get(index, ''))}"
        for index, call in enumerate(_calls(reply) if reply else ())
    ]
    return f"turn {turn}: " + "; ".join(filter(None, [said, *calls]))


def _calls(entry: Talk) -> Sequence[dict[str, Any]]:
    return entry.message.get("tool_calls") or ()


def _call_text(call: dict[str, Any]) -> str:
    arguments = json.loads(call["function"]["arguments"])
    first = next((f"{name}={value}" for name, value in arguments.items() if isinstance(value, str | int | float)), "")
    return f"{call['function']['name']}({first_line(first, _ARGUMENT_CHARS)})"
