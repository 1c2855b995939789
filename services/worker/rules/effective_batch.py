"""`effective_batch`: when memory runs out, a smaller batch comes with as much more accumulation.

Goes by settings that can be seen: flags and variables, and numbers in the program's text. What cannot be seen, or reads
in more than one way, is let through.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from services.worker.rules.commands import names_in, number_of, plain, settings_of
from services.worker.rules.facts import Facts
from services.worker.rules.program import Program

_BATCH = names_in(
    "batch_size batchsize bs b batch train_batch_size per_device_train_batch_size per_gpu_train_batch_size "
    "per_device_batch_size device_batch_size micro_batch_size train_micro_batch_size_per_gpu "
    "batch_size_per_device"
)
_ACCUMULATION = names_in(
    "gradient_accumulation_steps grad_accumulation_steps gradient_accumulation grad_accumulation accumulation_steps "
    "accum_steps grad_accum_steps grad_accum accum accumulation accum_iter accumulate_grad_batches "
    "grad_acc_steps"
)
# The effective batch itself; beside one of a part, DeepSpeed's train_batch_size is that too.
_WHOLE = names_in("global_batch_size total_batch_size effective_batch_size")
_DEEPSPEED = names_in("train_batch_size")
_OF_ONE = names_in("micro_batch_size train_micro_batch_size_per_gpu per_device_train_batch_size")
# A short option, and no name for a batch in a program.
_ONLY_FLAGS = frozenset({"b"})
_NAMES = "|".join(sorted((_BATCH | _WHOLE | _ACCUMULATION) - _ONLY_FLAGS, key=len, reverse=True)).replace("_", "[_-]")
_ASSIGNED = re.compile(rf"(?<![\w-])({_NAMES})\b[\"']?\s*(?::\s*int\s*)?[=:]\s*(\d+)\b(?!\s*[*/+-]|\.)", re.IGNORECASE)
_DEFAULT = re.compile(rf"--?({_NAMES})\b[\"'][^)\n]{{0,200}}?\bdefault\s*=\s*(\d+)\b(?!\s*[*/+-]|\.)", re.IGNORECASE)
_ANY_ACCUMULATION = re.compile(r"accum|grad_acc|(global|total|effective)[_-]?batch(?!es)", re.IGNORECASE)


Change: TypeAlias = tuple[float, float]
"""Of a setting: what it was, and what it is now."""


@dataclass(frozen=True)
class _Seen:
    """Settings of one attempt: those of its command, and the numbers that its program gives each name."""

    command: Mapping[str, float | None]
    text: Mapping[str, Counter[float]]
    accumulates: bool


def refuse(facts: Facts) -> str | None:
    """None, or the accumulation that keeps the batch."""
    asked, spent = facts.asked, facts.spent
    if spent is None or facts.before is None or asked.smoke:
        return None
    before = _seen(spent.command, spent.env, facts.before)
    now = _seen(asked.command, asked.env, facts.program)
    whole = _whole(before, now)
    batch = _changed(whole or _pairs(before, now, _BATCH))
    accumulation = (1.0, 1.0) if whole else _accumulation(before, now)
    if batch is None or accumulation is None:
        return None
    # Whether a batch is of one GPU or of all of them is not known: more GPUs may make up for it.
    gpus = max(1.0, asked.resources.total_gpus / max(1, spent.resources.total_gpus))
    is_kept = batch[1] * accumulation[1] * gpus >= batch[0] * accumulation[0]
    return None if is_kept else _what_keeps(batch, accumulation)


def _what_keeps(batch: Change, accumulation: Change) -> str:
    whole, left = batch[0] * accumulation[0], batch[1] * accumulation[1]
    return (
        f"the step ran out of memory, and this one lowers the effective batch from {whole:g} to {left:g} (batch "
        f"{batch[0]:g} to {batch[1]:g}, accumulation {accumulation[0]:g} to {accumulation[1]:g}), which changes the "
        f"training. Keep it: batch {batch[1]:g} with {math.ceil(whole / batch[1]):g} steps of gradient accumulation; "
        "then gradient checkpointing, then more memory"
    )


def _seen(command: str, env: Mapping[str, str], program: Program) -> _Seen:
    given = settings_of(command, env)
    text: dict[str, Counter[float]] = {}
    for pattern in (_ASSIGNED, _DEFAULT):
        for name, value in pattern.findall(program.text):
            text.setdefault(plain(name), Counter())[float(value)] += 1
    mentions = any(_ANY_ACCUMULATION.search(one) for one in [*given, program.text])
    return _Seen({name: number_of(value) for name, value in given.items()}, text, mentions)


def _whole(before: _Seen, now: _Seen) -> set[Change]:
    """The effective batch where it is a setting of its own, from which the accumulation follows; empty elsewhere."""
    is_deepspeed = bool(_pairs(before, now, _OF_ONE))
    return _pairs(before, now, _WHOLE) or (_pairs(before, now, _DEEPSPEED) if is_deepspeed else set())


def _changed(pairs: set[Change]) -> Change | None:
    """The one change among them; None where there is none, or where it is not clear."""
    changed = {pair for pair in pairs if pair[0] != pair[1]}
    return changed.pop() if len(changed) == 1 else None


def _accumulation(before: _Seen, now: _Seen) -> Change | None:
    """The accumulation, old and new: 1 where nobody speaks of any; None where it is not clear."""
    pairs = _pairs(before, now, _ACCUMULATION)
    telling = {pair for pair in pairs if pair[0] != pair[1]} or pairs
    if len(telling) == 1:
        return telling.pop()
    return None if before.accumulates or now.accumulates else (1.0, 1.0)


def _pairs(before: _Seen, now: _Seen, names: frozenset[str]) -> set[Change]:
    found = {_in_command(before, now, name) or _in_text(before, now, name) for name in names}
    return {pair for pair in found if pair is not None}


def _in_command(before: _Seen, now: _Seen, name: str) -> Change | None:
    if name not in before.command and name not in now.command:
        return None
    old, new = _given(before, name), _given(now, name)
    if old is None and name in _ACCUMULATION and not before.accumulates:
        old = 1.0
    return (old, new) if old and new else None


def _given(seen: _Seen, name: str) -> float | None:
    """What the command says, else the program's one number for it."""
    if name in seen.command:
        return seen.command[name]
    found = seen.text.get(name, Counter())
    return next(iter(found)) if len(found) == 1 else None


def _in_text(before: _Seen, now: _Seen, name: str) -> Change | None:
    """Only where the program had one number for it: of several nobody knows which is meant."""
    if name in before.command or name in now.command:
        return None
    old, new = before.text.get(name, Counter()), now.text.get(name, Counter())
    come = new - old
    if not old and len(new) == 1 and name in _ACCUMULATION and not before.accumulates:
        return 1.0, next(iter(new))
    if len(old) != 1 or len(come) > 1:
        return None
    was = next(iter(old))
    return was, next(iter(come)) if come else was
