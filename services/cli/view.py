"""A run's events as lines for a person. Pure: no clock, no terminal.

What models, tools and programs wrote is made plain before it is shown, and cut; each cut says what was left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from services.cli.follow import Back, Ended, Item, Lost, Observed, Told
from services.cli.look import Look, Tone, bar, bytes_text, dollars_text, number_text, seconds_text, tone_of
from services.cli.plain import cut, one_line, plain
from services.core import events as ev
from services.core.keys import step_of_attempt
from services.core.lifecycle import Status
from services.core.records import PlanItem

OUTPUT_LINES = 6
GOAL_LINES = 8
_INDENT = "  "
# The argument that says most about a call of a tool; the others follow it as name=value.
_TELLING = ("command", "path", "step", "steps", "pattern", "summary")
_MARKS = {"completed": "[x]", "in_progress": "[>]", "pending": "[ ]"}


@dataclass(frozen=True)
class Line:
    """One line to show. A `live` line is shown in place of the live line before it."""

    text: str
    live: bool = False


class View:
    """Turns items into lines, one after the other, and keeps what they depend on: the turn, streamed text, metrics."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._run = ""
        self._turn = 0
        self._text = ""
        self._metrics: dict[str, dict[str, float]] = {}
        self._calls: dict[str, str] = {}
        self._last_call = ""

    def lines(self, item: Item) -> list[Line]:
        """What to show for `item`."""
        match item:
            case Told():
                return [Line(text) for text in self._told(item)]
            case Observed():
                return [Line(self._progress(item), live=True)]
            case Lost():
                return [Line(self._note(f"{item.why}; trying again in {seconds_text(item.retry_seconds)}"))]
            case Back():
                return [Line(self._note("connected again"))]
            case Ended():
                return [Line(text) for text in self._flushed()]

    def _told(self, told: Told) -> Iterator[str]:
        self._run = str(told.wire.get("run", ""))
        if isinstance(told.data, ev.AssistantChunk):
            yield from self._turn_header(told.turn)
            yield from self._streamed(told.data.content)
            return
        yield from self._flushed()
        if told.data is None:
            return
        lines = list(self._event(told.data))
        if lines:
            yield from self._turn_header(told.turn)
            yield from lines

    def _turn_header(self, turn: int) -> Iterator[str]:
        if turn > self._turn:
            self._turn = turn
            title = f"── turn {turn} "
            yield ""
            yield self._look.paint(title + "─" * max(0, min(self._look.width, 80) - len(title)), Tone.QUIET)

    def _streamed(self, piece: str) -> Iterator[str]:
        *whole, self._text = (self._text + piece).split("\n")
        for line in whole:
            yield plain(line)

    def _flushed(self) -> Iterator[str]:
        rest, self._text = plain(self._text), ""
        if rest.strip():
            yield rest

    def _event(self, data: ev.EventData) -> Iterator[str]:
        match data:
            case ev.RunAccepted() | ev.StatusChanged() | ev.RunFinished():
                yield from self._run_event(data)
            case (
                ev.MessageReceived() | ev.CancelRequested() | ev.ErrorRaised() | ev.ApprovalRequired() | ev.Compacted()
            ):
                yield from self._spoken(data)
            case ev.AssistantMessage():
                yield from plain(data.content).strip().split("\n")
            case ev.ToolCall() | ev.ToolOutput() | ev.ToolLog():
                yield from self._tool(data)
            case ev.PlanUpdate():
                yield from (_INDENT + line for line in plan_lines(data.plan, self._look))
            case ev.WorkspaceChanged():
                names = one_line(", ".join(data.paths), self._look.width - 10)
                yield self._note(f"changed: {names}")
            case ev.LlmCall() | ev.LlmFailed():
                yield from self._model(data)
            case ev.StepSubmitted() | ev.AttemptStarted() | ev.AttemptFinished() | ev.StepCancelRequested():
                yield from self._step(data)
            case _:
                return

    def _run_event(self, data: ev.RunAccepted | ev.StatusChanged | ev.RunFinished) -> Iterator[str]:
        paint, width = self._look.paint, self._look.width
        match data:
            case ev.RunAccepted():
                yield paint(f"● run {self._run}", Tone.STRONG) + paint(f"  {one_line(data.model, 60)}", Tone.QUIET)
                yield from self._cut_block(data.goal, GOAL_LINES)
            case ev.StatusChanged():
                why = one_line(": ".join(part for part in (data.reason, data.detail) if part), width - 30)
                text = f"● {data.source} → {data.target}"
                if data.target is Status.NEEDS_HUMAN or data.target.is_final:
                    yield paint(text, tone_of(data.target)) + (f"  {why}" if why else "")
                else:
                    yield self._note(f"{text}  {why}".rstrip())
                if data.target is Status.NEEDS_HUMAN:
                    yield f'  answer with: cohort message {self._run} "…"'
            case ev.RunFinished():
                yield ""
                yield paint(f"● {data.status}", tone_of(data.status))
                yield from (_INDENT + line for line in plain(data.summary).strip().split("\n") if data.summary)
                for name, value in sorted(data.metrics.items()):
                    yield f"{_INDENT}{one_line(name, 40)} = {number_text(value)}"

    def _spoken(
        self, data: ev.MessageReceived | ev.CancelRequested | ev.ErrorRaised | ev.ApprovalRequired | ev.Compacted
    ) -> Iterator[str]:
        paint = self._look.paint
        match data:
            case ev.MessageReceived():
                yield paint(f"» {one_line(data.author, 40)}", Tone.ATTENTION)
                yield from self._cut_block(data.content, GOAL_LINES)
            case ev.CancelRequested():
                why = f": {one_line(data.why, 200)}" if data.why else ""
                yield paint(f"● {one_line(data.author, 40)} asks to cancel{why}", Tone.ATTENTION)
            case ev.ErrorRaised():
                yield paint(f"✗ {one_line(data.error, 500)}", Tone.BAD)
            case ev.ApprovalRequired():
                yield paint(f"● {data.count} tool call(s) wait for approval", Tone.ATTENTION)
            case ev.Compacted():
                yield self._note(f"history shortened: {data.old_tokens:,} → {data.new_tokens:,} tokens")

    def _tool(self, data: ev.ToolCall | ev.ToolOutput | ev.ToolLog) -> Iterator[str]:
        paint, width = self._look.paint, self._look.width
        match data:
            case ev.ToolCall():
                tool = one_line(data.tool, 30)
                self._calls[data.tool_call_id] = tool
                self._last_call = data.tool_call_id
                text = arguments_text(data.arguments, width - len(tool) - 4)
                yield f"{paint(f'› {tool}', Tone.TOOL)} {text}".rstrip()
            case ev.ToolOutput():
                yield from self._tool_output(data)
            case ev.ToolLog():
                yield self._note(one_line(data.log, width - 4))

    def _tool_output(self, data: ev.ToolOutput) -> Iterator[str]:
        # With several calls at once, an output that does not follow its own call names its tool.
        tool = self._calls.pop(data.tool_call_id, one_line(data.tool, 30))
        failed = self._look.paint(" ✗ failed", Tone.BAD) if not data.success else ""
        if self._last_call != data.tool_call_id or failed:
            yield f"{_INDENT}{tool}{failed}"
        self._last_call = ""
        if not (data.tool == "plan" and data.success):
            for line in self._cut_block(data.output, OUTPUT_LINES):
                yield self._look.paint(line, Tone.QUIET)

    def _model(self, data: ev.LlmCall | ev.LlmFailed) -> Iterator[str]:
        match data:
            case ev.LlmCall():
                cached = f" ({data.cache_read_tokens:,} cached)" if data.cache_read_tokens else ""
                yield self._note(
                    f"{one_line(data.model, 60)}: {data.prompt_tokens:,} tokens in{cached}, "
                    f"{data.completion_tokens:,} out, {dollars_text(data.cost_usd)}, "
                    f"{seconds_text(data.latency_ms / 1000)}"
                )
            case ev.LlmFailed():
                again = "" if data.retry_in_seconds is None else f"; again in {seconds_text(data.retry_in_seconds)}"
                why = one_line(f"{data.failure}: {data.detail}" if data.detail else data.failure, 300)
                yield self._look.paint(f"✗ the model call failed: {why}{again}", Tone.BAD)

    def _step(
        self, data: ev.StepSubmitted | ev.AttemptStarted | ev.AttemptFinished | ev.StepCancelRequested
    ) -> Iterator[str]:
        paint, width = self._look.paint, self._look.width
        match data:
            case ev.StepSubmitted():
                cause = " (again: infrastructure failed)" if data.cause == "infrastructure" else ""
                title = f"◆ step {data.step}, attempt {data.number} submitted{cause}"
                yield f"{paint(title, Tone.STEP)}  {one_line(data.command, max(20, width - len(title) - 2))}"
            case ev.AttemptStarted():
                yield paint(f"◆ step {data.step}, attempt {_number_of(data.attempt)} runs", Tone.STEP)
            case ev.AttemptFinished():
                self._metrics.pop(data.attempt, None)
                yield paint(_verdict(data), tone_of(data.outcome))
            case ev.StepCancelRequested():
                yield paint(f"◆ step {data.step} is asked to stop", Tone.ATTENTION)

    def _progress(self, seen: Observed) -> str:
        newest = self._metrics.setdefault(seen.attempt, {})
        newest |= seen.metrics
        parts = [f"◆ {one_line(step_of_attempt(seen.attempt) or seen.step, 24)}"]
        if seen.fraction is not None:
            parts.append(f"{bar(seen.fraction)} {seen.fraction:4.0%}")
        parts += [f"{one_line(name, 24)} {number_text(newest[name])}" for name in _telling_metrics(newest)]
        if seen.text and not newest:
            parts.append(one_line(seen.text, 60))
        if seen.eta_seconds is not None:
            parts.append(f"{seconds_text(seen.eta_seconds)} to go")
        return self._look.paint(cut("  ".join(parts), self._look.width - 1), Tone.STEP)

    def _cut_block(self, text: str, most: int) -> Iterator[str]:
        """The beginning and the end of a text, at most `most` lines, with a line that counts what is left out."""
        whole = [line.rstrip() for line in plain(text).strip("\n").split("\n")]
        head, tail = (whole, []) if len(whole) <= most + 1 else (whole[: most - 2], whole[-2:])
        shown = self._look.width - 2
        yield from (_INDENT + cut(line, shown) for line in head if line or len(whole) > 1)
        if tail:
            yield f"{_INDENT}… {len(whole) - len(head) - len(tail):,} more lines"
            yield from (_INDENT + cut(line, shown) for line in tail)

    def _note(self, text: str) -> str:
        return self._look.paint(_INDENT + text, Tone.QUIET)


def plan_lines(plan: list[PlanItem] | tuple[PlanItem, ...], look: Look) -> list[str]:
    """The plan as a checklist."""
    lines = []
    for item in plan:
        tone = Tone.QUIET if item.status == "completed" else Tone.PLAIN
        lines.append(look.paint(f"{_MARKS[item.status]} {one_line(item.content, look.width - 6)}", tone))
    return lines


def arguments_text(arguments: dict[str, object], width: int) -> str:
    """A call's arguments on one line: the telling one as it is, the others as name=value."""
    telling = next((name for name in _TELLING if name in arguments), None)
    parts = [] if telling is None else [_value_text(arguments[telling], width)]
    parts += [f"{name}={_value_text(value, 40)}" for name, value in arguments.items() if name != telling]
    return one_line(" ".join(parts), max(width, 10))


def _value_text(value: object, width: int) -> str:
    if not isinstance(value, str):
        return one_line(repr(value) if not isinstance(value, list) else ", ".join(map(str, value)), width)
    lines = plain(value).strip("\n").split("\n")
    more = f" (+{len(lines) - 1} lines)" if len(lines) > 1 else ""
    return one_line(lines[0], max(width - len(more), 10)) + more


def _telling_metrics(metrics: dict[str, float]) -> list[str]:
    """Where it is, then the losses, then the rest; five at most, the line is short."""
    order = {"epoch": 0, "step": 1}
    names = sorted(metrics, key=lambda name: (order.get(name, 2 if "loss" in name else 3), name))
    return [name for name in names if not (name == "step" and "epoch" in metrics)][:5]


def _number_of(attempt: str) -> str:
    return attempt.rpartition("-")[2]


def _verdict(data: ev.AttemptFinished) -> str:
    mark = {"succeeded": "✔", "cancelled": "◼"}.get(data.outcome, "✗")
    code = "" if data.exit_code in (0, None) else f", exit code {data.exit_code}"
    reason = "" if data.reason in ("", "exited") else f" ({one_line(data.reason, 60)})"
    log = f", {bytes_text(data.log_bytes)} of log"
    gap = f", {bytes_text(data.gap_bytes)} of it lost" if data.gap_bytes else ""
    whole = "" if data.log_complete or data.gap_bytes else ", not complete"
    number = _number_of(data.attempt)
    took = seconds_text(data.seconds)
    return f"{mark} step {data.step}, attempt {number} {data.outcome} after {took}{code}{reason}{log}{gap}{whole}"
