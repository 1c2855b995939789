"""`timeout`: a deadline is as long as what is known of the program's pace says.

The pace of another attempt counts only where it ran the same program with the same settings on as many of the same
machines; of settings that say how long to train, one may differ, and the time is taken to be in proportion.
"""

import math

from services.worker.rules.commands import names_in, number_of, settings_of
from services.worker.rules.facts import Earlier, Facts, are_alike, ran_out_of_time

SAFETY = 1.25
_LENGTHS = names_in(
    "epochs num_epochs n_epochs max_epochs num_train_epochs train_epochs max_steps num_steps n_steps total_steps "
    "train_steps steps max_iters iters iterations num_iterations max_iterations num_boost_round n_estimators"
)
# Settings that do not change how long it takes.
_FREE = names_in(
    "seed cohort_seed pythonhashseed lr learning_rate weight_decay warmup warmup_steps warmup_ratio momentum dropout "
    "beta beta1 beta2 temperature out output output_dir run_name name tag save_dir log_dir gamma alpha label_smoothing "
    "cublas_workspace_config clip grad_clip max_grad_norm"
)
_LEAST_FRACTION = 0.02
_LEAST_SECONDS = 60.0
_MOST_FACTOR = 10.0


def refuse(facts: Facts) -> str | None:
    """None, or how long it would take."""
    asked, step = facts.asked, facts.step
    if asked.smoke or (asked.resume and step is not None and step.checkpoint):
        return None
    estimate = next((found for one in reversed(facts.earlier) if (found := estimate_of(facts, one)) is not None), None)
    needed = None if estimate is None else estimate * SAFETY
    if needed is not None and asked.deadline_seconds < needed:
        return (
            f"deadline_minutes {_minutes(asked.deadline_seconds):g} is too short: by its pace so far the program needs "
            f"about {_minutes(estimate or 0.0):g} minutes; give it deadline_minutes {math.ceil(needed / 60)} or more"
        )
    return _same_again(facts) if needed is None else None


def estimate_of(facts: Facts, one: Earlier) -> float | None:
    """Seconds that the step would take by what that attempt has shown; None where it says nothing about it."""
    asked, attempt = facts.asked, one.attempt
    is_comparable = (
        one.scripts == facts.program.scripts
        and bool(one.scripts)
        and one.is_same
        and not attempt.restores
        and are_alike(one.pool, asked.pool)
        and attempt.resources.units == asked.resources.units
    )
    total = _total_seconds(one, facts.now) if is_comparable else None
    if total is None:
        return None
    factor = _factor(settings_of(attempt.command, attempt.env), settings_of(asked.command, asked.env))
    return None if factor is None else total * factor


def _total_seconds(one: Earlier, now: float) -> float | None:
    """How long the attempt took or would have taken in all; None where nobody can tell."""
    attempt, progress = one.attempt, one.record.progress
    if attempt.status == "succeeded":
        return attempt.seconds
    passed = now - attempt.started if attempt.status == "running" and attempt.started else attempt.seconds
    if progress is None or passed < _LEAST_SECONDS:
        return None
    if progress.fraction is not None and _LEAST_FRACTION <= progress.fraction < 1:
        return passed / progress.fraction
    return passed + progress.eta_seconds if progress.eta_seconds and progress.fraction is None else None


def _factor(before: dict[str, str], now: dict[str, str]) -> float | None:
    """How many times as long the program runs with the new settings; None where nobody can tell."""
    changed = [name for name in {*before, *now} - _FREE if before.get(name) != now.get(name)]
    if not changed:
        return 1.0
    if len(changed) > 1 or changed[0] not in _LENGTHS:
        return None
    old, new = number_of(before.get(changed[0])), number_of(now.get(changed[0]))
    if not old or not new or old < 0 or new < 0:
        return None
    # A program that did little has spent its time on starting, which says nothing about one that does much.
    return new / old if new / old <= _MOST_FACTOR else None


def _same_again(facts: Facts) -> str | None:
    """What is said to a step that ran out of its deadline and would get no more; None where it would get more, or is
    another program now as far as its command tells."""
    asked, step = facts.asked, facts.step
    if step is None or not ran_out_of_time(step.last) or asked.deadline_seconds > step.last.deadline_seconds:
        return None
    last = step.last
    before, now = settings_of(last.command, last.env), settings_of(asked.command, asked.env)
    is_same = all(before.get(name) == now.get(name) for name in {*before, *now} - _FREE)
    grew = asked.resources.units > last.resources.units or asked.pool.name != last.pool
    tried_since = any(one.attempt.smoke and one.attempt.submitted > last.submitted for one in facts.earlier)
    if not is_same or grew or tried_since:
        return None
    checkpoint = (
        "set resume to go on from its newest checkpoint"
        if step.checkpoint
        else "have the program save its state under $COHORT_CHECKPOINT_DIR and go on from what it finds there"
    )
    return (
        f"attempt {last.number} of {step.name} was stopped at its deadline of {_minutes(last.deadline_seconds):g} "
        f"minutes and this one gets no more: give it a longer one, or {checkpoint}. If the program is faster now, show "
        "it with a smoke test first"
    )


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 1)
