"""`smoke_test`: what costs much has been tried on little data before, on the same kind of pool."""

import math
import re

from services.worker.rules.facts import Facts, are_alike, dollars

SMOKE_MINUTES = 10


def refuse(facts: Facts) -> str | None:
    """None, or what to submit first."""
    asked = facts.asked
    if asked.smoke:
        return _too_dear(facts) if facts.is_dear else None
    if asked.evaluates or not facts.is_dear:
        return None
    scripts = set(facts.program.scripts)
    proven = {
        script
        for one in facts.earlier
        if one.attempt.status == "succeeded" and are_alike(one.pool, asked.pool)
        for script in one.scripts
    }
    missing = [script for script in facts.program.scripts if script not in proven]
    return _what_first(facts, missing) if scripts and missing else None


def _too_dear(facts: Facts) -> str:
    minutes = _affordable_minutes(facts)
    less = f"give it deadline_minutes {minutes:g} at most, or fewer GPUs" if minutes else "use fewer GPUs or nodes"
    return f"a smoke test has to cost less than {dollars(facts.line_microdollars)}, and this could cost " + (
        f"{dollars(facts.asked.microdollars)}: {less}"
    )


def _affordable_minutes(facts: Facts) -> int:
    """The most whole minutes that cost no more than the line, and no more than a smoke test has."""
    a_minute = facts.asked.microdollars / facts.asked.deadline_seconds * 60
    return min(SMOKE_MINUTES, math.floor(facts.line_microdollars / a_minute))


def _what_first(facts: Facts, missing: list[str]) -> str:
    asked = facts.asked
    minutes = _affordable_minutes(facts)
    time = f"deadline_minutes {minutes}" if minutes else "few GPUs, a short deadline"
    name = re.sub(r"-+$", "", f"smoke-{asked.step}"[:24])
    return (
        f"this step could cost {dollars(asked.microdollars)}, more than {dollars(facts.line_microdollars)}, and "
        f"{', '.join(missing)} has not succeeded yet on pool {asked.pool.name} or one like it. First submit a smoke "
        f'test and see it succeed: submit_step with name "{name}", smoke true, pool ["{asked.pool.name}"], {time}, and '
        "the same command on very little data (a few steps, a few rows; same imports, loading, saving). Then this one"
    )
