"""The model's view of a run: the system prompt, the goal, and the talk so far in the order a provider accepts.

Pure. The talk is written in the order things happened; a provider wants every tool call answered, in call order,
right after the reply that made it. `ordered` puts the one into the other; how much of it is shown, and in which
form, is `context`'s.
"""

import json
from collections.abc import Sequence
from typing import Any

from services.core.pools import LOCAL, Pool, Pools
from services.core.quantities import in_bytes
from services.core.records import RunState
from services.core.store import Talk
from services.worker.model import Message
from services.worker.reply import RawCall

REPLY = -1
NOTE = 9_000
NUDGE = 9_100
SAID = 10_000
_DEEPEST = 64
_MOST_POOLS = 30


def opening(system: str, state: RunState, files: Sequence[str]) -> list[Message]:
    """What every conversation begins with. `files` are the paths of the inputs."""
    return [{"role": "system", "content": system}, {"role": "user", "content": goal_text(state, files)}]


def ordered(talk: Sequence[Talk]) -> list[Talk]:
    """The talk in the order in which a provider accepts it."""
    return sorted(talk, key=lambda entry: (entry.turn, entry.index))


def choices_text(pools: Pools, tenant: str) -> str:
    """What a step may name, for the system prompt: pools and secrets; '' where there is nothing to choose."""
    return _pools_text(pools, tenant) + _secrets_text(pools, tenant)


def _secrets_text(pools: Pools, tenant: str) -> str:
    found = [f"{one.name} (as ${one.env})" for one in pools.secrets if one.is_for(tenant)] if pools.runs_images else []
    return f"Secrets that a step's program can be given: {', '.join(found)}. Never print one.\n" if found else ""


def _pools_text(pools: Pools, tenant: str) -> str:
    if all(pool.name == LOCAL for pool in pools.pools):
        return ""
    more = len(pools.pools) - _MOST_POOLS
    quota = pools.quota.of(tenant)
    lines = [
        "Pools that steps can run on; a step that names none goes to the cheapest that fits:",
        *(f"- {_pool_text(pool)}" for pool in pools.pools[:_MOST_POOLS]),
        *([f"- … and {more} more"] if more > 0 else []),
        *([] if quota is None else [f"All steps together hold {quota} GPUs at most; what comes later waits its turn."]),
    ]
    return "\n".join(lines) + "\n"


def _pool_text(pool: Pool) -> str:
    parts = [f"{pool.name}:"]
    if pool.gpus_per_node:
        product = " ".join(pool.gpu_product.split())
        kind = ", ".join(filter(None, [product, f"{in_bytes(pool.gpu_memory)} each" if pool.gpu_memory else ""]))
        parts.append(f"{pool.gpus_per_node} GPUs a node{f' ({kind})' if kind else ''}, {pool.nodes} nodes at most,")
    else:
        parts.append("no GPUs,")
    if pool.max_cpu or pool.max_memory:
        cores = f"{pool.max_cpu:g} cores" if pool.max_cpu else ""
        memory = in_bytes(pool.max_memory) if pool.max_memory else ""
        parts.append(f"up to {' and '.join(filter(None, [cores, memory]))} for a step,")
    parts.append(f"${pool.price_per_hour:.2f} an hour{' for each GPU' if pool.gpus_per_node else ''}")
    return " ".join(parts) + ("; spot: may be taken away at any time, so save checkpoints" if pool.spot else "")


def goal_text(state: RunState, files: Sequence[str]) -> str:
    """The goal with its limits and inputs, as the first message."""
    limits = state.limits
    bounds = [f"{limits.turns} turns", f"{limits.minutes:g} minutes"]
    bounds += [f"{limits.tokens} tokens"] if limits.tokens else []
    bounds += [f"${limits.dollars:g}"] if limits.dollars else []
    shown = "\n".join(f"- {path}" for path in files[:200]) or "- (none)"
    more = f"\n- … and {len(files) - 200} more" if len(files) > 200 else ""
    attempts = f"A step may fail {limits.attempts} times before a person is asked."
    needs = state.resources.text
    only = " No other pool may be used." if state.resources.pool else ""
    told = f"\nA step that does not say it otherwise gets: {needs}.{only}" if needs else ""
    told += f"\n{state.rules.text}" if state.rules.text else ""
    return f"{state.goal}\n\nLimits: {', '.join(bounds)}. {attempts}{told}\nInput files:\n{shown}{more}"


def reply_message(text: str, calls: Sequence[RawCall]) -> Message:
    """The assistant's message for the history. Arguments that are no JSON object are kept as an empty one, because
    providers refuse a history with anything else; the answer to the call says what was wrong."""
    message: Message = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(arguments_of(call) or {})},
            }
            for call in calls
        ]
    elif not text:
        message["content"] = ""
    return message


def arguments_of(call: RawCall) -> dict[str, Any] | None:
    """The call's arguments; None when they are no JSON object that can be kept. No arguments at all is an empty object.

    Python reads more than JSON is: NaN, half a character, any depth. Such values could neither be stored nor be sent.
    """
    if not call.arguments.strip():
        return {}
    try:
        value = json.loads(call.arguments)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _depth(value) <= _DEEPEST else None


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def tool_message(tool_call_id: str, text: str) -> Message:
    return {"role": "tool", "tool_call_id": tool_call_id, "content": text}


def user_message(text: str) -> Message:
    return {"role": "user", "content": text}


def last_word(talk: Sequence[Talk]) -> Message | None:
    """The last message a provider would see, None before the first reply."""
    return max(talk, key=lambda entry: (entry.turn, entry.index)).message if talk else None


def is_text_only(talk: Sequence[Talk]) -> bool:
    """The model has replied without a tool call, and nobody has said anything since."""
    last = last_word(talk)
    return last is not None and last["role"] == "assistant" and not last.get("tool_calls")


def has_replied(talk: Sequence[Talk]) -> bool:
    """The model has taken a turn."""
    return any(entry.index == REPLY for entry in talk)


def has_said(talk: Sequence[Talk], turn: int) -> bool:
    """A person has said something since the reply of `turn`."""
    return any(entry.turn >= turn and entry.index >= SAID for entry in talk)


def has_unread(talk: Sequence[Talk]) -> bool:
    """A person has said something after the model's last reply."""
    last = last_word(talk)
    return last is not None and last["role"] == "user"


def content_at(talk: Sequence[Talk], turn: int, index: int) -> str | None:
    """The text of the message at that place, None where there is none."""
    found = (str(entry.message.get("content") or "") for entry in talk if (entry.turn, entry.index) == (turn, index))
    return next(found, None)


def call_arguments(talk: Sequence[Talk], tool_call_id: str) -> dict[str, Any]:
    """The arguments of a call, from the reply that made it."""
    for entry in reversed(talk):
        for call in entry.message.get("tool_calls") or ():
            if call["id"] == tool_call_id:
                return dict(json.loads(call["function"]["arguments"]))
    return {}
