"""A run's events as lines for a person. Pure: no clock, no terminal.

What models, tools and programs wrote is made plain before it is shown, and cut; each cut says what was left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.cli.calls import SHOWN_OTHERWISE, call_lines, output_lines
from services.cli.follow import Back, Ended, Item, Lost, Observed, Told
from services.cli.look import INDENT, Look, Tone, dollars_text, number_text, seconds_text, tone_of
from services.cli.plain import block, one_line, plain
from services.cli.steps import event_lines, progress_line
from services.core import events as ev
from services.core.lifecycle import Status
from services.core.records import PlanItem

GOAL_LINES = 8
_HEADER_WIDTH = 80
_MARKS = {"completed": "[x]", "in_progress": "[>]", "pending": "[ ]"}


_RunEvent = ev.RunAccepted | ev.StatusChanged | ev.RunFinished
_Spoken = ev.MessageReceived | ev.CancelRequested | ev.ErrorRaised | ev.ApprovalRequired | ev.Compacted
_ToolEvent = ev.ToolCall | ev.ToolOutput | ev.ToolLog | ev.PlanUpdate | ev.WorkspaceChanged


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
        self._last_call = ""

    def lines(self, item: Item) -> list[Line]:
        """What to show for `item`."""
        match item:
            case Told():
                return [Line(text) for text in self._told(item)]
            case Observed():
                newest = self._metrics.setdefault(item.attempt, {})
                newest |= item.metrics
                return [Line(progress_line(item, newest, self._look), live=True)]
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
            yield self._look.paint(title + "─" * (min(self._look.width, _HEADER_WIDTH) - len(title)), Tone.QUIET)

    def _streamed(self, piece: str) -> Iterator[str]:
        *whole, self._text = (self._text + piece).split("\n")
        for line in whole:
            yield plain(line)

    def _flushed(self) -> Iterator[str]:
        rest, self._text = plain(self._text), ""
        if rest.strip():
            yield rest

    def _event(self, data: ev.EventData) -> Iterable[str]:
        match data:
            case ev.RunAccepted() | ev.StatusChanged() | ev.RunFinished():
                return self._run_event(data)
            case (
                ev.MessageReceived() | ev.CancelRequested() | ev.ErrorRaised() | ev.ApprovalRequired() | ev.Compacted()
            ):
                return self._spoken(data)
            case ev.AssistantMessage():
                return plain(data.content).strip().split("\n")
            case ev.ToolCall() | ev.ToolOutput() | ev.ToolLog() | ev.PlanUpdate() | ev.WorkspaceChanged():
                return self._tool(data)
            case ev.LlmCall() | ev.LlmFailed():
                return [self._model(data)]
            case ev.ModelChanged() | ev.EffortDropped() | ev.RuleRefused():
                return [self._look.paint(f"● {one_line(_exception_text(data), 300)}", Tone.ATTENTION)]
            case (
                ev.StepSubmitted()
                | ev.AttemptStarted()
                | ev.AttemptProgressed()
                | ev.AttemptWarned()
                | ev.AttemptFinished()
                | ev.StepCancelRequested()
            ):
                return [*event_lines(data, self._look)]
            case ev.ResearchStarted() | ev.ResearchFinished():
                return [self._look.paint(f"◇ {_research_text(data)}", Tone.STEP)]
            case _:
                return []

    def _run_event(self, data: _RunEvent) -> Iterator[str]:
        paint = self._look.paint
        match data:
            case ev.RunAccepted():
                yield paint(f"● run {self._run}", Tone.STRONG) + paint(f"  {one_line(data.model, 60)}", Tone.QUIET)
                yield from self._block(data.goal)
                for rule, why in data.rules.waived.items():
                    yield paint(f"{INDENT}rule {one_line(rule, 40)} is off: {one_line(why, 300)}", Tone.ATTENTION)
            case ev.StatusChanged():
                yield self._move(data)
                if data.target is Status.NEEDS_HUMAN:
                    yield f'{INDENT}answer with: cohort message {self._run} "…"'
            case ev.RunFinished():
                yield ""
                yield paint(f"● {data.status}", tone_of(data.status))
                yield from (INDENT + line for line in plain(data.summary).strip().split("\n") if data.summary)
                for name, value in sorted(data.metrics.items()):
                    yield f"{INDENT}{one_line(name, 40)} = {number_text(value)}"

    def _move(self, data: ev.StatusChanged) -> str:
        why = one_line(data.detail or data.reason, self._look.width - 30)
        text = f"● {data.source} → {data.target}"
        if data.target is Status.NEEDS_HUMAN or data.target.is_final:
            return f"{self._look.paint(text, tone_of(data.target))}  {why}".rstrip()
        return self._note(f"{text}  {why}".rstrip())

    def _spoken(self, data: _Spoken) -> Iterator[str]:
        paint = self._look.paint
        match data:
            case ev.MessageReceived():
                yield paint(f"» {one_line(data.author, 40)}", Tone.ATTENTION)
                yield from self._block(data.content)
            case ev.CancelRequested():
                why = f": {one_line(data.why, 200)}" if data.why else ""
                yield paint(f"● {one_line(data.author, 40)} asks to cancel{why}", Tone.ATTENTION)
            case ev.ErrorRaised():
                yield paint(f"✗ {one_line(data.error, 500)}", Tone.BAD)
            case ev.ApprovalRequired():
                yield paint(f"● {data.count} tool call(s) wait for approval", Tone.ATTENTION)
            case ev.Compacted():
                yield self._note(f"history shortened: {data.old_tokens:,} → {data.new_tokens:,} tokens")

    def _tool(self, data: _ToolEvent) -> Iterator[str]:
        match data:
            case ev.ToolCall() if data.tool not in SHOWN_OTHERWISE:
                self._last_call = data.tool_call_id
                yield from call_lines(data, self._look)
            case ev.ToolOutput() if data.tool not in SHOWN_OTHERWISE or not data.success:
                is_next, self._last_call = self._last_call == data.tool_call_id, ""
                yield from output_lines(data, self._look, is_next)
            case ev.ToolLog() if data.agent_id is None:
                yield self._note(one_line(data.log, self._look.width - 4))
            case ev.PlanUpdate():
                yield self._look.paint("› plan", Tone.TOOL)
                yield from (INDENT + line for line in plan_lines(data.plan, self._look))
            case ev.WorkspaceChanged() if len(data.paths) > 1:
                # A single file is named by the call that wrote it.
                yield self._note(f"changed: {one_line(', '.join(data.paths), self._look.width - 12)}")
            case _:
                return

    def _model(self, data: ev.LlmCall | ev.LlmFailed) -> str:
        model = one_line(data.model, 60)
        if isinstance(data, ev.LlmFailed):
            again = "" if data.retry_in_seconds is None else f"; again in {seconds_text(data.retry_in_seconds)}"
            why = one_line(f"{data.failure}: {data.detail}" if data.detail else data.failure, 300)
            return self._look.paint(f"✗ the model call failed: {why}{again}", Tone.BAD)
        cached = f" ({data.cache_read_tokens:,} cached)" if data.cache_read_tokens else ""
        tokens = f"{data.prompt_tokens:,} tokens in{cached}, {data.completion_tokens:,} out"
        return self._note(f"{model}: {tokens}, {dollars_text(data.cost_usd)}, {seconds_text(data.latency_ms / 1000)}")

    def _block(self, text: str) -> Iterator[str]:
        return (INDENT + line for line in block(text, GOAL_LINES, self._look.width - len(INDENT)))

    def _note(self, text: str) -> str:
        return self._look.paint(INDENT + text, Tone.QUIET)


def _exception_text(data: ev.ModelChanged | ev.EffortDropped | ev.RuleRefused) -> str:
    match data:
        case ev.ModelChanged():
            return f"goes on with {data.target} in place of {data.source}: {data.why}"
        case ev.EffortDropped():
            return f"{data.model} refuses effort {data.effort} and is asked without one: {data.why}"
        case ev.RuleRefused():
            return f"rule {data.rule} refuses {f'step {data.step}' if data.step else 'finish'}"


def _research_text(data: ev.ResearchStarted | ev.ResearchFinished) -> str:
    if isinstance(data, ev.ResearchStarted):
        return f"research {data.research} begins: {one_line(data.title, 160)}"
    tokens = data.prompt_tokens + data.completion_tokens
    used = f"{data.turns} turns, {tokens:,} tokens, {dollars_text(data.cost_usd)}"
    return f"research {data.research} {data.status} ({used})"


def plan_lines(plan: Iterable[PlanItem], look: Look) -> list[str]:
    """The plan as a checklist."""
    lines = []
    for item in plan:
        tone = Tone.QUIET if item.status == "completed" else Tone.PLAIN
        lines.append(look.paint(f"{_MARKS[item.status]} {one_line(item.content, look.width - 6)}", tone))
    return lines
