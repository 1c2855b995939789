"""Where a run stands, for the model: plan, steps, best results, what is left, what a person last said. Pure.

Made from the run's state for each turn and never kept, so it is true whatever has become of the history.
"""

from collections.abc import Iterable, Sequence

from services.core.durations import seconds_text
from services.core.loglines import clean
from services.core.metric_names import is_better
from services.core.notes import Best
from services.core.records import MICRODOLLARS, Attempt, RunState, Step
from services.core.sandboxes import SANDBOX
from services.core.store import Talk
from services.worker.conversation import SAID

HEAD = "Where this run stands, by the platform's records:"

_MOST_STEPS = 20
_MOST_ITEMS = 40
_MOST_RESULTS = 3
_SAID_CHARS = 500
_TITLE_CHARS = 120
_MARKS = {"pending": "[ ]", "in_progress": "[~]", "completed": "[x]"}


def brief(state: RunState, talk: Sequence[Talk], best: Sequence[str], now: float) -> str:
    """The state of things in some 3,000 characters at most. `best`: one line for each result worth knowing."""
    lines = [HEAD, *_plan(state), *_steps(state), *_researches(state)]
    lines += ["Best results so far:", *(f"- {line}" for line in best)] if best else []
    lines += [_left(state, now), *_said(talk)]
    return "\n".join(lines)


def best_results(state: RunState) -> list[str]:
    """One line for each step: the best values of all its attempts, of series whose name says which way is better."""
    lines = []
    for step in state.steps.values():
        best: dict[str, tuple[Best, int]] = {}
        for one in step.attempts:
            for value in one.best:
                known = best.get(value.name)
                if known is None or is_better(value.name, value.value, known[0].value):
                    best[value.name] = value, one.number
        if best:
            shown = [_result(value, number) for value, number in list(best.values())[:_MOST_RESULTS]]
            lines.append(f"{step.name}: {', '.join(shown)}")
    return lines[-_MOST_STEPS:]


def _result(best: Best, attempt: int) -> str:
    at = [f"epoch {best.epoch:g}"] if best.epoch is not None else []
    at += [f"step {best.step}"] if best.step is not None else []
    return f"{clean(best.name)[:60]} {best.value:.6g} ({' '.join([f'attempt {attempt}', *at])})"


def _plan(state: RunState) -> Iterable[str]:
    if not state.plan:
        return
    yield "Plan:"
    shown = (
        state.plan if len(state.plan) <= _MOST_ITEMS else [item for item in state.plan if item.status != "completed"]
    )
    yield from (f"{_MARKS[item.status]} {item.content[:120]}" for item in shown[:_MOST_ITEMS])
    if len(shown) < len(state.plan):
        yield f"({len(state.plan) - len(shown)} completed items are not shown)"


def _steps(state: RunState) -> Iterable[str]:
    steps = [step for step in state.steps.values() if step.name != SANDBOX]
    if not steps:
        return
    yield "Steps:"
    if len(steps) > _MOST_STEPS:
        yield f"({len(steps) - _MOST_STEPS} earlier ones are not shown)"
    yield from (f"- {_step(step, state.limits.attempts)}" for step in steps[-_MOST_STEPS:])


def _researches(state: RunState) -> Iterable[str]:
    for research in state.live_researches():
        title = research.title[:_TITLE_CHARS]
        yield f"Under way: research {research.run} ({title}); research(resume={research.run!r}) waits for its findings."


def _step(step: Step, allowed: int) -> str:
    last = step.last
    parts = [f"{step.name}: attempt {last.number} {last.status}"]
    parts += [_why(last)] if not last.is_live and last.status != "succeeded" else []
    parts += [f"warned of {', '.join(one.kind for one in step.warnings)}"] if step.warnings else []
    parts += [f"outputs: {', '.join(file.path for file in last.outputs[:5])}"] if last.outputs else []
    parts += [f"{step.failed_attempts} of {allowed} allowed failures"] if step.failed_attempts else []
    return "; ".join(filter(None, parts))


def _why(attempt: Attempt) -> str:
    return attempt.diagnosis.failure if attempt.diagnosis else attempt.reason[:100]


def _left(state: RunState, now: float) -> str:
    limits, spend = state.limits, state.spend
    turns = limits.turns - state.turn
    left = [f"{turns} turns" if turns != 1 else "1 turn, the last", seconds_text(state.ends_at - now)]
    left += [f"{max(0, limits.tokens - spend.tokens - state.held_tokens)} tokens"] if limits.tokens else []
    if limits.dollars is not None:
        used = (spend.microdollars + spend.reserved_microdollars) / MICRODOLLARS
        left.append(f"${max(0.0, limits.dollars - used):.2f}")
    return f"Left: {', '.join(left)}."


def _said(talk: Sequence[Talk]) -> Iterable[str]:
    """What a person last said: an answer or a wish that must not be lost."""
    last = next((entry for entry in reversed(talk) if entry.index >= SAID), None)
    if last is not None:
        text = str(last.message.get("content") or "")
        yield f"A person last said (turn {last.turn}): {text[:_SAID_CHARS]}{'…' if len(text) > _SAID_CHARS else ''}"
