"""Where a run is, why, and what would change it next. Pure: what is on record in, two pieces of prose out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from services.core.attempts import AttemptRecord
from services.core.durations import seconds_text
from services.core.lifecycle import Reason, Status, ending
from services.core.records import Attempt, RunState, Step
from services.core.standing import standing_of


@dataclass(frozen=True)
class Why:
    """`here`: where the run is and why. `next`: what would change that, and when that happens by itself."""

    here: str
    next: str

    @property
    def text(self) -> str:
        """Both, as one paragraph."""
        return f"{self.here} {self.next}"


REASONS: Mapping[Reason, str] = {
    Reason.NONE: "no reason is on record",
    Reason.FINISHED: "the agent claimed that the goal is reached, and every claim held",
    Reason.WAITING_FOR_STEPS: "it waits for its steps",
    Reason.WAITING_FOR_MODEL: "it waits for the model",
    Reason.ASKED: "the agent asked something",
    Reason.ATTEMPTS_EXHAUSTED: "a step has failed too often",
    Reason.IN_CIRCLES: "the agent goes in circles",
    Reason.INCOMPLETE: "the agent says that it is done, and it is not",
    Reason.STEP_INFRASTRUCTURE: "the platform lost its steps too often",
    Reason.CANCELLED_BY_USER: "somebody asked for its end",
    Reason.DEADLINE: "its time was up",
    Reason.TURN_LIMIT: "it has used all its turns",
    Reason.TOKEN_LIMIT: "it has used all its tokens",
    Reason.DOLLAR_LIMIT: "it has spent all its dollars",
    Reason.TENANT_BUDGET: "the tenant's budget is spent",
    Reason.MODEL_AUTH: "the model's provider does not accept the install's credentials",
    Reason.MODEL_CREDIT: "the install's credit with the model's provider is used up",
    Reason.MODEL_REFUSED: "the model's provider refused the request",
    Reason.MODEL_UNAVAILABLE: "the model did not answer, however often it was asked",
    Reason.MODEL_RUBBISH: "the model answered with what cannot be used, time and again",
    Reason.CONTEXT_EXCEEDED: "its history is longer than the model can read",
    Reason.POISON: "workers died on it time and again",
    Reason.INTERNAL: "an error inside Cohort ended it",
}


def why(state: RunState, records: Mapping[str, AttemptRecord], now: float) -> Why:
    """Explain a run. `records` has what is known of its live attempts, `now` is in seconds since the epoch."""
    match state.status:
        case Status.QUEUED:
            return _queued(state, now)
        case Status.RUNNING:
            return _running(state, records, now)
        case Status.WAITING:
            return _waiting(state, records, now)
        case Status.NEEDS_HUMAN:
            return _needs_human(state, now)
        case Status.CANCELLING:
            return _cancelling(state, records, now)
        case Status.SUCCEEDED | Status.FAILED | Status.CANCELLED | Status.TIMED_OUT | Status.OVER_LIMIT:
            return _over(state)
        case _:
            assert_never(state.status)


def _queued(state: RunState, now: float) -> Why:
    here = f"Run {state.run} was accepted {_ago(state.created, now)} and waits for a worker to take its first turn."
    return Why(here, f"It begins when a worker is free; {_at_the_latest(state, now)}")


def _running(state: RunState, records: Mapping[str, AttemptRecord], now: float) -> Why:
    turn = f"Run {state.run} is in turn {state.turn} of at most {state.limits.turns}"
    beside = _steps_text(state, records, now)
    if state.model_call is not None:
        here, after = f"{turn} and waits for {state.model} to answer.", "It goes on when the model has answered."
    elif state.open_calls:
        call = state.open_calls[0]
        after = "It goes on when that has an answer."
        here = f"{turn} and {'carries out' if call.begun else 'is about to carry out'} {_call_text(state)}."
    else:
        here, after = f"{turn}, between two actions.", "A worker goes on with it within seconds, if there is one."
    return Why(_joined(here, beside), f"{after} {_capitalised(_at_the_latest(state, now))}")


def _waiting(state: RunState, records: Mapping[str, AttemptRecord], now: float) -> Why:
    wait = state.wait
    if wait is not None and wait.kind == "steps":
        live = [state.steps[name] for name in wait.steps if name in state.steps and state.steps[name].last.is_live]
        many = len(wait.steps) > 1
        one_of = "one of " if many and wait.mode == "any" else ""
        here = f"Run {state.run} is parked and holds no worker: it waits for {one_of}{_listed(wait.steps)}."
        told = [_step_text(step, records, now) for step in live]
        over = "it is" if not many else "one of them is" if one_of else "they are"
        message = "when a message comes"
        rest = f"{message}, or in {seconds_text(wait.until - now)}" if wait.until else f"or {message}"
        return Why(_joined(here, told), f"{_nexts(live, records, now)}The run goes on when {over} over, {rest}.")
    if wait is not None and wait.kind == "model":
        times = f" {state.model_failures} times in a row" if state.model_failures > 1 else ""
        here = f"Run {state.run} waits because {state.model} could not answer{times}{_detail(state)}."
        when = f"in {seconds_text(max(0.0, wait.until - now))}" if wait.until else "soon"
        return Why(here, f"The model is asked again {when}; {_at_the_latest(state, now)}")
    here = f"Run {state.run} is parked{_detail(state)}."
    return Why(here, f"A message wakes it; {_at_the_latest(state, now)}")


def _needs_human(state: RunState, now: float) -> Why:
    here = f"Run {state.run} waits for a person: {REASONS[state.reason]}{_detail(state)}."
    exhausted = state.exhausted_step() if state.reason is Reason.ATTEMPTS_EXHAUSTED else None
    diagnosis = state.steps[exhausted].last.diagnosis if exhausted else None
    hint = f" What may help: {diagnosis.remedy}." if diagnosis and diagnosis.remedy else ""
    answer = f'It goes on when somebody answers with cohort message {state.run} "…".'
    return Why(here, f"{answer}{hint} {_capitalised(_at_the_latest(state, now))}")


def _cancelling(state: RunState, records: Mapping[str, AttemptRecord], now: float) -> Why:
    live = [step for step in state.steps.values() if step.last.is_live]
    here = f"Run {state.run} is being ended: {REASONS[state.reason]}{_detail(state)}."
    told = [_step_text(step, records, now) for step in live]
    final = ending(state.reason)
    if live:
        have = "has" if len(live) == 1 else "have"
        names = _listed([step.name for step in live])
        return Why(_joined(here, told), f"It is {final} as soon as {names} {have} stopped.")
    return Why(here, f"Nothing of it runs any more; a worker closes it as {final} within seconds.")


def _over(state: RunState) -> Why:
    took = f" after {seconds_text(state.ended - state.created)}" if state.ended else ""
    here = f"Run {state.run} is over: {state.status}{took}, because {REASONS[state.reason]}{_detail(state)}."
    failed = [step.last for step in state.steps.values() if step.last.diagnosis is not None]
    if state.status is not Status.SUCCEEDED and failed:
        here = _joined(here, [f"The last attempt of a step failed so: {_diagnosis_text(failed[-1])}."])
    return Why(here, "Nothing changes it any more; submit the goal again to try once more.")


def _steps_text(state: RunState, records: Mapping[str, AttemptRecord], now: float) -> list[str]:
    return [_step_text(step, records, now) for step in state.steps.values() if step.last.is_live]


def _step_text(step: Step, records: Mapping[str, AttemptRecord], now: float) -> str:
    """A live step in one sentence, with what the platform lost of it before."""
    attempt = step.last
    where = standing_of(attempt, _record(attempt, records), now).where
    text = f"Attempt {attempt.number} of step {step.name}{_place_text(attempt)} {where}"
    before = step.attempts[-2] if len(step.attempts) > 1 else None
    if before is not None and before.status == "lost":
        cause = f" ({before.reason})" if before.reason else ""
        text += f"; the platform lost the attempt before{cause}, and tries again by itself"
    if step.cancelling:
        text += "; it has been asked to stop"
    return f"{text}."


def _place_text(attempt: Attempt) -> str:
    """What it runs on, where there are pools: ` (2 nodes with 8 GPUs each, pool a100)`."""
    if not attempt.pool:
        return ""
    wanted = attempt.resources
    gpus = f"{wanted.gpus} GPU{'s' if wanted.gpus > 1 else ''}" if wanted.gpus else ""
    nodes = f"{wanted.nodes} nodes{f' with {gpus} each' if gpus else ''}" if wanted.nodes > 1 else gpus
    return f" ({nodes}, pool {attempt.pool})" if nodes else f" (pool {attempt.pool})"


def _nexts(live: list[Step], records: Mapping[str, AttemptRecord], now: float) -> str:
    """What moves a single step on; of several, the steps themselves say enough."""
    if len(live) != 1:
        return ""
    return f"{standing_of(live[0].last, _record(live[0].last, records), now).next} "


def _record(attempt: Attempt, records: Mapping[str, AttemptRecord]) -> AttemptRecord:
    return records.get(attempt.id) or AttemptRecord(attempt=attempt.id)


def _diagnosis_text(attempt: Attempt) -> str:
    diagnosis = attempt.diagnosis
    if diagnosis is None:
        return attempt.reason
    return f"{diagnosis.summary} ({diagnosis.failure}, to be mended by {diagnosis.owner}: {diagnosis.remedy})"


def _call_text(state: RunState) -> str:
    names = [call.tool for call in state.open_calls]
    rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the tool {names[0]}{rest}"


def _detail(state: RunState) -> str:
    detail = " ".join(state.detail.split()).rstrip(".")
    return f" ({detail})" if detail else ""


def _at_the_latest(state: RunState, now: float) -> str:
    left = state.ends_at - now
    return f"at the latest it ends by its time limit in {seconds_text(left)}." if left > 0 else "its time is up."


def _ago(time: float, now: float) -> str:
    return f"{seconds_text(max(0.0, now - time))} ago"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    *first, last = [f"step {name}" for name in names] or ["no step"]
    return f"{', '.join(first)} and {last}" if first else last


def _joined(first: str, rest: list[str]) -> str:
    return " ".join([first, *rest])


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
