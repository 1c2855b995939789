"""A step's attempts as lines for a person: their events, and the live line of one that runs. Pure."""

from collections.abc import Iterator, Mapping

from services.cli.follow import Observed
from services.cli.look import INDENT, Look, Tone, bar, bytes_text, end_text, number_text, seconds_text, tone_of
from services.cli.plain import cut, one_line
from services.core import events as ev
from services.core.fold_steps import StepEvent
from services.core.keys import step_of_attempt

_MOST_METRICS = 5
_MARKS = {"succeeded": "✔", "cancelled": "◼"}


def event_lines(data: StepEvent, look: Look) -> Iterator[str]:
    """What happened to a step, and under an attempt that failed what may help."""
    yield _event_line(data, look)
    if isinstance(data, ev.AttemptFinished) and data.diagnosis is not None:
        diagnosis = data.diagnosis
        sure = f", {diagnosis.confidence:.0%} sure" if diagnosis.confidence < 1 else ""
        found = f"{diagnosis.failure}, to be mended by {diagnosis.owner}{sure}"
        # What the cluster found stands in the verdict already.
        found += f": {diagnosis.summary}" if diagnosis.summary not in data.reason else ""
        yield look.paint(f"{INDENT}{one_line(found, look.width - len(INDENT))}", Tone.QUIET)
        if diagnosis.remedy:
            yield look.paint(f"{INDENT}{one_line(diagnosis.remedy, look.width - len(INDENT))}", Tone.QUIET)


def _event_line(data: StepEvent, look: Look) -> str:
    match data:
        case ev.StepSubmitted():
            cause = " (again: infrastructure failed)" if data.cause == "infrastructure" else ""
            title = f"◆ step {data.step}, attempt {data.number} submitted{cause}"
            command = one_line(data.command, max(20, look.width - len(title) - 2))
            return f"{look.paint(title, Tone.STEP)}  {command}"
        case ev.AttemptStarted():
            return look.paint(f"◆ step {data.step}, attempt {_number_of(data.attempt)} runs", Tone.STEP)
        case ev.AttemptProgressed():
            return look.paint(_stage(data, look), Tone.QUIET)
        case ev.AttemptWarned():
            title = f"! step {data.step}, attempt {_number_of(data.attempt)} {data.kind}: "
            return look.paint(title + one_line(data.text, max(20, look.width - len(title))), Tone.ATTENTION)
        case ev.AttemptFinished():
            return look.paint(_verdict(data), tone_of(data.outcome))
        case ev.StepCancelRequested():
            return look.paint(f"◆ step {data.step} is asked to stop", Tone.ATTENTION)


def progress_line(seen: Observed, metrics: Mapping[str, float], look: Look) -> str:
    """How a running attempt gets on, with the newest of its metrics."""
    parts = [f"◆ {one_line(step_of_attempt(seen.attempt) or seen.step, 24)}"]
    if seen.fraction is not None:
        parts.append(f"{bar(seen.fraction)} {seen.fraction:4.0%}")
    parts += [f"{one_line(name, 24)} {number_text(metrics[name])}" for name in _telling(metrics)]
    if seen.text and not metrics:
        parts.append(one_line(seen.text, 60))
    if seen.eta_seconds is not None:
        parts.append(f"{seconds_text(seen.eta_seconds)} to go")
    return look.paint(cut("  ".join(parts), look.width - 1), Tone.STEP)


def _telling(metrics: Mapping[str, float]) -> Iterator[str]:
    """Where it is, then the losses, then the rest; not many, the line is short."""
    order = {"epoch": 0, "step": 1}
    names = sorted(metrics, key=lambda name: (order.get(name, 2 if "loss" in name else 3), name))
    yield from [name for name in names if not (name == "step" and "epoch" in metrics)][:_MOST_METRICS]


def _stage(data: ev.AttemptProgressed, look: Look) -> str:
    title = f"{INDENT}step {data.step}, attempt {_number_of(data.attempt)}: {data.stage}"
    return f"{title}  {one_line(data.detail, max(20, look.width - len(title) - 2))}".rstrip()


def _verdict(data: ev.AttemptFinished) -> str:
    why = "" if data.outcome == "succeeded" else f": {one_line(end_text(data.reason, data.exit_code), 80)}"
    gap = f", {bytes_text(data.gap_bytes)} of it lost" if data.gap_bytes else ""
    whole = "" if data.log_complete or data.gap_bytes else ", not complete"
    log = f"{bytes_text(data.log_bytes)} of log{gap}{whole}"
    title = f"{_MARKS.get(data.outcome, '✗')} step {data.step}, attempt {_number_of(data.attempt)} {data.outcome}"
    return f"{title} after {seconds_text(data.seconds)}{why} ({log})"


def _number_of(attempt: str) -> str:
    return attempt.rpartition("-")[2]
