"""Where runs stand, as lines for a person. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from services.cli.look import Look, Tone, bytes_text, dollars_text, end_text, number_text, seconds_text, tone_of
from services.cli.plain import columns, cut, one_line, plain
from services.cli.problems import Bewildering
from services.cli.view import plan_lines
from services.core.lifecycle import Status
from services.core.records import MICRODOLLARS, Attempt, FileRef, RunState, Wait
from services.core.research import Research
from services.core.rules import Terms
from services.core.standing import stage_text

_NAME_WIDTH = 10


@dataclass(frozen=True)
class RunView:
    """A run as the API shows it: typed, and as it was received."""

    state: RunState
    wire: dict[str, Any]


def read_run(wire: dict[str, Any]) -> RunView:
    """Raises `Bewildering` where `wire` is no run."""
    try:
        return RunView(RunState.model_validate(wire), wire)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Bewildering(
            f"the API describes a run in a way this version does not know ({where}); update cohort"
        ) from (error)


def dashboard_of(view: RunView) -> str:
    """Where the run's dashboard is; '' where the API knows of none."""
    links = view.wire.get("links")
    return str(links.get("dashboard") or "") if isinstance(links, dict) else ""


def run_lines(state: RunState, look: Look, now: float, dashboard: str = "") -> list[str]:
    """Everything about one run. `now` is in seconds since the epoch, `dashboard` an address that is shown whole."""
    lines = [f"{look.paint(state.run, Tone.STRONG)}  {look.paint(state.status, tone_of(state.status))}{_why(state)}"]
    for name, value in _facts(state, now):
        lines.append(f"  {name:<{_NAME_WIDTH}}{cut(value, max(20, look.width - _NAME_WIDTH - 2))}")
    if state.plan:
        lines.append("  plan")
        lines += [f"    {line}" for line in plan_lines(state.plan, look)]
    if state.steps:
        lines.append("  steps")
        lines += [f"    {line}" for line in step_lines(state, look)]
    lines += _named("researches", [_research_text(research) for research in state.researches.values()])
    lines += _named("metrics", [f"{one_line(name, 40)} = {number_text(value)}" for name, value in _sorted(state)])
    lines += _named("artifacts", [file_text(file) for file in state.artifacts])
    if state.summary:
        lines.append("  summary")
        lines += [f"    {line}" for line in plain(state.summary).strip().split("\n")]
    if dashboard:
        lines.append(f"  {'dashboard':<{_NAME_WIDTH}}{one_line(dashboard, 2000)}")
    if state.status is Status.NEEDS_HUMAN:
        lines.append(f'  answer with: cohort message {state.run} "…"')
    return lines


def step_lines(state: RunState, look: Look) -> list[str]:
    """Each step with all its attempts."""
    lines = []
    width = max((len(name) for name in state.steps), default=0)
    for name, step in state.steps.items():
        for attempt in step.attempts:
            title = name if attempt.number == 1 else ""
            text = f"attempt {attempt.number} {_attempt_text(attempt)}"
            lines.append(f"{title:<{width}}  {look.paint(text, tone_of(attempt.status))}")
    return lines


def table_lines(states: Sequence[RunState], look: Look) -> list[str]:
    """One line per run under a line of names."""
    rows = [("RUN", "STATUS", "ACCEPTED", "TURN", "SPENT", "GOAL")]
    for state in states:
        spent = dollars_text(state.spend.microdollars / MICRODOLLARS)
        rows.append((state.run, state.status, moment_text(state.created), str(state.turn), spent, state.goal))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for index, row in enumerate(rows):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        used = sum(widths) + 2 * len(widths)
        cells[1] = look.paint(cells[1], tone_of(row[1]))
        line = "  ".join([*cells, one_line(row[5], max(20, look.width - used))])
        lines.append(look.paint(line, Tone.QUIET) if index == 0 else line)
    return lines


def file_lines(files: Iterable[FileRef]) -> list[str]:
    """Size and path of each, the sizes in a column."""
    rows = [(bytes_text(file.size), one_line(file.path, 500)) for file in files]
    width = max((columns(size) for size, _ in rows), default=0)
    return [f"{size:>{width}}  {path}" for size, path in rows]


def file_text(file: FileRef) -> str:
    return f"{one_line(file.path, 200)} ({bytes_text(file.size)})"


def moment_text(time: float) -> str:
    """A time of day here, to the second."""
    return datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _facts(state: RunState, now: float) -> Iterator[tuple[str, str]]:
    yield "goal", one_line(state.goal, 2000)
    if state.parent is not None:
        yield "parent", state.parent.run
    yield "model", one_line(_model_text(state), 200)
    yield (
        "accepted",
        moment_text(state.created) + (f" by {one_line(state.accepted_by, 60)}" if state.accepted_by else ""),
    )
    yield "time", seconds_text((state.ended or now) - state.created)
    if state.ended is None:
        yield "ends by", moment_text(state.ends_at)
    yield "turns", f"{state.turn} of {state.limits.turns}"
    limit = "" if state.limits.tokens is None else f" of {state.limits.tokens:,}"
    yield "tokens", f"{state.spend.tokens:,}{limit} ({state.spend.cached_tokens:,} cached)"
    limit = "" if state.limits.dollars is None else f" of {dollars_text(state.limits.dollars)}"
    yield "cost", f"{dollars_text(state.spend.microdollars / MICRODOLLARS)}{limit}"
    yield from _rule_facts(state.rules)
    if state.labels:
        yield "labels", one_line(" ".join(f"{name}={value}" for name, value in sorted(state.labels.items())), 500)
    if state.wait is not None:
        yield "waits", _wait_text(state.wait, now)


def _research_text(research: Research) -> str:
    title = one_line(research.title, 200)
    if research.status is None:
        return f"{research.run} under way: {title}"
    return f"{research.run} {research.status}, {dollars_text(research.cost_usd)}: {title}"


def _model_text(state: RunState) -> str:
    effort = f", effort {state.effort}" if state.effort else ""
    other = f", else {state.fallback_model}" if state.fallback_model else ""
    return f"{state.model or '-'}{effort}{other}"


def _rule_facts(rules: Terms) -> Iterator[tuple[str, str]]:
    for rule, why in rules.waived.items():
        yield "no rule", one_line(f"{rule}: {why}", 500)
    if rules.cost_line_dollars is not None:
        yield "cost line", dollars_text(rules.cost_line_dollars)
    if rules.evaluation_data:
        yield "kept back", one_line(", ".join(rules.evaluation_data), 500)


def _why(state: RunState) -> str:
    why = ": ".join(part for part in (state.reason, state.detail) if part)
    return f"  {one_line(why, 300)}" if why else ""


def _wait_text(wait: Wait, now: float) -> str:
    text = f"for {wait.mode} of {', '.join(wait.steps)}" if wait.steps else f"for {wait.kind}"
    text += f" {', '.join(wait.researches)}" if wait.kind == "research" else ""
    return text if wait.until is None else f"{text}, {seconds_text(max(0.0, wait.until - now))} more at most"


def _attempt_text(attempt: Attempt) -> str:
    text: str = attempt.status
    if attempt.is_live and attempt.stage is not None:
        text += f" ({one_line(stage_text(attempt), 120)})"
    if attempt.seconds:
        text += f" after {seconds_text(attempt.seconds)}"
    if not attempt.is_live and attempt.status != "succeeded":
        text += f": {one_line(end_text(attempt.reason, attempt.exit_code), 80)}"
    if attempt.diagnosis is not None:
        text += f" ({attempt.diagnosis.failure}, to be mended by {attempt.diagnosis.owner})"
    if attempt.gap_bytes:
        text += f", {bytes_text(attempt.gap_bytes)} of its log lost"
    return text


def _named(name: str, lines: Sequence[str]) -> list[str]:
    return [f"  {name}", *(f"    {line}" for line in lines)] if lines else []


def _sorted(state: RunState) -> list[tuple[str, float]]:
    return sorted(state.metrics.items())
