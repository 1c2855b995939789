"""`batch`: of several steps with one script and other arguments one shows that it works before the rest is paid."""

from services.worker.rules.facts import Earlier, Facts, dollars

# A program that has run for so long without a figure prints none.
_LONG_SECONDS = 15 * 60.0


def refuse(facts: Facts) -> str | None:
    """None, or the step to wait for."""
    asked = facts.asked
    if not facts.trains or not facts.program.scripts:
        return None
    others = [one for one in facts.earlier if _is_sibling(one, facts)]
    if any(_shows_life(one, facts.now) for one in others):
        return None
    live = [one for one in others if one.attempt.is_live]
    if not live:
        return None
    first, rest = live[0], live[1:]
    total = sum(one.microdollars for one in rest) + asked.microdollars
    if total <= facts.line_microdollars:
        return None
    return (
        f"step {first.step} runs the same script ({', '.join(facts.program.scripts)}) and has shown no sign of life "
        f"yet. Until then all but the first of such a batch may cost {dollars(facts.line_microdollars)} together, and "
        f"with this one it would be {dollars(total)}. Wait for {first.step} with wait_for_steps until it has printed "
        "metrics or succeeded, then submit the rest"
    )


def _is_sibling(one: Earlier, facts: Facts) -> bool:
    is_training = not (one.attempt.smoke or one.attempt.evaluates)
    return is_training and one.step != facts.asked.step and one.scripts == facts.program.scripts


def _shows_life(one: Earlier, now: float) -> bool:
    attempt, record = one.attempt, one.record
    if attempt.status != "running":
        return attempt.status == "succeeded"
    is_heard = record.metrics_count > 0 or (record.progress is not None and bool(record.progress.fraction))
    return is_heard or (attempt.started is not None and now - attempt.started > _LONG_SECONDS)
