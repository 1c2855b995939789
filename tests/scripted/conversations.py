"""Conversations with a playbook, in the provider's message format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import services.scripted
from services.scripted.loading import load_playbook
from services.scripted.playbook import Playbook
from services.scripted.replay import Reply, next_reply

SHIPPED = Path(services.scripted.__file__).parent / "playbooks"
MINE = Path(__file__).parent / "playbooks"


def write_playbook(directory: Path, text: str, name: str = "sample") -> Path:
    """A playbook file of this text; returns its path."""
    path = directory / name / "playbook.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def playbook_of(directory: Path, text: str) -> Playbook:
    return load_playbook(write_playbook(directory, text))


def shipped(name: str) -> Playbook:
    return load_playbook(SHIPPED / name / "playbook.yaml")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(reply: Reply) -> dict[str, Any]:
    """The reply as an agent records it."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": call.arguments}}
        for call in reply.calls
    ]
    return {"role": "assistant", "content": reply.text or None, **({"tool_calls": calls} if calls else {})}


def answers(reply: Reply, *texts: str) -> list[dict[str, Any]]:
    """One tool message for each call of the reply; the last text is repeated where there are too few."""
    given = [*texts, *([texts[-1]] * (len(reply.calls) - len(texts)))]
    return [
        {"role": "tool", "tool_call_id": call.id, "content": text}
        for call, text in zip(reply.calls, given, strict=True)
    ]


def talk(playbook: Playbook, goal: str, answer: Callable[[Reply], list[dict[str, Any]]], replies: int) -> list[Reply]:
    """Take `replies` replies, each answered with the messages `answer` makes of it."""
    messages = [{"role": "system", "content": "You are an engineer."}, user(goal)]
    taken = []
    for _ in range(replies):
        reply = next_reply(playbook, messages)
        taken.append(reply)
        messages += [assistant(reply), *answer(reply)]
    return taken


def states(playbook: Playbook, goal: str, *rounds: str | tuple[str, ...]) -> list[str]:
    """The states that reply when each reply is answered by the next round's texts; the last reply stays unanswered.

    A person says the round's text to a reply that has no calls, or asks.
    """
    messages = [user(goal)]
    visited = []
    for given in (*rounds, None):
        reply = next_reply(playbook, messages)
        visited.append(reply.state)
        if given is not None:
            texts = (given,) if isinstance(given, str) else given
            asks = any(call.tool == "ask" for call in reply.calls)
            said = [user(texts[0])] if asks or not reply.calls else []
            back = [*answers(reply, *(["asked"] if asks else texts)), *said] if reply.calls else said
            messages += [assistant(reply), *back]
    return visited
