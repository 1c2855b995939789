"""The messages of one turn, cut so that they fit. Pure, and a function of the history and of earlier cuts alone.

Cuts only ever move forward, and some turns at once: a view is a continuation of the one before it in all turns but
few, and what a provider keeps in its cache stays valid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.core.records import Cuts, Window
from services.core.store import Talk
from services.worker.context.masking import masked, shortened
from services.worker.context.outline import outline
from services.worker.context.tokens import tokens_of
from services.worker.model import Message, reply_tokens

_MARGIN = 0.95
_KEPT_TURNS = 10
_STEP_TURNS = 5
# As long as it is so small nothing is masked: it costs little, and the model sees all.
_WHOLE_TOKENS = 16_000
# Who has to cut cuts down to this share, so that the next turns need no cut.
_TARGET = 0.7
_OUTLINE_SHARE = 0.15
_CHARS_PER_TOKEN = 3
_LONGEST_CHARS = 24_000
_LAST_RESORTS = (8_000, 2_000, 500)


@dataclass(frozen=True)
class Parts:
    """What a view is made of: `opening` (system prompt and goal), the talk in order, and `brief`, the state of things.

    `fixed_tokens`: what the request has besides, such as the schemas of tools.
    """

    opening: Sequence[Message]
    talk: Sequence[Talk]
    brief: str = ""
    fixed_tokens: int = 0


@dataclass(frozen=True)
class View:
    """The messages to send, their tokens as estimated, those without any cut, and the cuts."""

    messages: list[Message]
    tokens: int
    whole_tokens: int
    cuts: Cuts


def budget_of(window: int, completion: int, known: Window) -> int:
    """How many tokens, as we estimate them, a prompt may have.

    `window` and `completion` are the model's window and the most it is asked to reply, in its own tokens.
    """
    room = window - reply_tokens(window, completion)
    budget = int(room * _MARGIN / known.tokens_per_estimated)
    return budget if known.most is None else min(budget, known.most)


def fit(parts: Parts, cuts: Cuts, budget: int) -> View | None:
    """The view of at most `budget` tokens that keeps the most. `cuts` are those of the view before. None: none fits."""
    turns = sorted({entry.turn for entry in parts.talk})
    whole = tokens_of(render(parts, Cuts(), budget)) + parts.fixed_tokens
    if cuts == Cuts() and whole <= min(_WHOLE_TOKENS, budget):
        return View(render(parts, cuts, budget), whole, whole, cuts)
    for candidate, share, chars in _tries(turns, cuts):
        messages = render(parts, candidate, budget, chars)
        tokens = tokens_of(messages) + parts.fixed_tokens
        if tokens <= budget * share:
            return View(messages, tokens, whole, candidate)
    return None


def _tries(turns: Sequence[int], cuts: Cuts) -> Iterator[tuple[Cuts, float, int]]:
    """Cuts in the order in which they are tried: each with the share of the budget that it has to keep to, and the
    longest message."""
    cuts = cuts.forward(masked=_before(turns, _KEPT_TURNS, _STEP_TURNS))
    yield cuts, 1.0, _LONGEST_CHARS
    for kept in (_STEP_TURNS, 2, 1):
        cuts = cuts.forward(masked=_before(turns, kept))
        yield cuts, _TARGET, _LONGEST_CHARS
    for kept in (_KEPT_TURNS, _STEP_TURNS, 2, 1):
        cuts = cuts.forward(outlined=_before(turns, kept))
        yield cuts, _TARGET, _LONGEST_CHARS
    for chars in _LAST_RESORTS:
        yield cuts, 1.0, chars
    yield cuts.forward(masked=turns[-1] + 1 if turns else 0), 1.0, _LAST_RESORTS[-1]


def _before(turns: Sequence[int], kept: int, step: int = 1) -> int:
    """The first turn that stays, if of the turns the last `kept` do; moves `step` turns at once."""
    gone = max(0, len(turns) - kept)
    gone -= gone % step
    return turns[gone] if gone else 0


def render(parts: Parts, cuts: Cuts, budget: int, most: int = _LONGEST_CHARS) -> list[Message]:
    """The messages with these cuts, none of the talk longer than `most` characters."""
    old = [entry for entry in parts.talk if entry.turn < cuts.outlined]
    messages = list(parts.opening)
    if old:
        chars = int(budget * _OUTLINE_SHARE) * _CHARS_PER_TOKEN
        messages.append({"role": "user", "content": outline(old, chars)})
    tools = _tool_names(parts.talk)
    for entry in parts.talk:
        if entry.turn >= cuts.outlined:
            message = masked(entry, tools) if entry.turn < cuts.masked else entry.message
            messages.append(shortened(entry, message, most))
    if parts.brief:
        messages.append({"role": "user", "content": parts.brief})
    return _merged(messages)


def _tool_names(talk: Sequence[Talk]) -> dict[str, str]:
    calls = (call for entry in talk for call in entry.message.get("tool_calls") or ())
    return {call["id"]: call["function"]["name"] for call in calls}


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Neighbours that both come from the user as one: some servers' templates insist that roles alternate."""
    merged: list[Message] = []
    for message in messages:
        if merged and message["role"] == merged[-1]["role"] == "user":
            merged[-1] = {"role": "user", "content": f"{merged[-1]['content']}\n\n{message['content']}"}
        else:
            merged.append(message)
    return merged
