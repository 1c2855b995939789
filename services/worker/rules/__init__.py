"""The rules that hold for a run's steps: one pure function each, from what is known to None or to what to do instead.

A rule that doesn't know lets through. Here they are looked up and asked; `gathering` finds out what they go by.
"""

from collections.abc import Callable, Mapping, Sequence

from services.core import events as ev
from services.core.rules import Rule
from services.worker.rules import (
    batch,
    effective_batch,
    evaluation_data,
    outputs,
    seeds,
    smoke_test,
    timeout,
)
from services.worker.rules.facts import Facts

RULES: Mapping[Rule, Callable[[Facts], str | None]] = {
    Rule.EVALUATION_DATA: evaluation_data.refuse,
    Rule.EFFECTIVE_BATCH: effective_batch.refuse,
    Rule.TIMEOUT: timeout.refuse,
    Rule.OUTPUTS: outputs.refuse,
    Rule.SEEDS: seeds.refuse,
    Rule.SMOKE_TEST: smoke_test.refuse,
    Rule.BATCH: batch.refuse,
}


def refusals(facts: Facts) -> list[ev.RuleRefused]:
    """What speaks against submitting the step, of the rules that the goal leaves in force."""
    in_force = {rule: refuse for rule, refuse in RULES.items() if facts.state.rules.holds(rule)}
    found = {rule: text for rule, refuse in in_force.items() if (text := refuse(facts)) is not None}
    return [ev.RuleRefused(rule=rule, step=facts.asked.step, text=text) for rule, text in found.items()]


def told(refused: Sequence[ev.RuleRefused]) -> str:
    """The refusals as one answer to the agent."""
    return "\n".join(["error: not done, for the rules of this run:", *(f"- {one.rule}: {one.text}" for one in refused)])
