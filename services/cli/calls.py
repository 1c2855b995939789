"""Tool calls and what they answer, as lines for a person. Pure."""

import re
from collections.abc import Iterator, Mapping

from services.cli.look import INDENT, Look, Tone
from services.cli.plain import block, cut, one_line, plain
from services.core import events as ev

OUTPUT_LINES = 8
FAILURE_LINES = 14
# The plan has an event of its own that says it better.
SHOWN_OTHERWISE = frozenset({"plan"})
# The argument that says most about a call; the others follow it as name=value.
_TELLING = ("command", "task", "findings", "path", "step", "steps", "pattern", "summary")
# A replacement is shown as what goes and what comes.
_REPLACEMENT = (("-", Tone.BAD, "old"), ("+", Tone.GOOD, "new"))
_REPLACEMENT_LINES = 4
# What a model has to be told of untrusted text, a person need not be told.
_FENCE = re.compile(r"^</?evidence-[0-9a-z]+>[^\n]*\n?", re.MULTILINE)


def call_lines(data: ev.ToolCall, look: Look) -> Iterator[str]:
    """A call: the tool and what it is asked to do."""
    tool = one_line(data.tool, 30)
    text = arguments_text(data.arguments, look.width - len(tool) - 4)
    yield f"{look.paint(f'› {tool}', Tone.TOOL)} {text}".rstrip()
    for mark, tone, name in _REPLACEMENT:
        for line in _first_lines(data.arguments.get(name)):
            yield look.paint(cut(f"{INDENT}{mark} {line}", look.width), tone)


def output_lines(data: ev.ToolOutput, look: Look, is_next: bool) -> Iterator[str]:
    """What a call answered. `is_next`: it stands right below its call, so the tool need not be named again."""
    tool, text = one_line(data.tool, 30), _FENCE.sub("", data.output)
    lines = block(text, OUTPUT_LINES if data.success else FAILURE_LINES, look.width - len(INDENT))
    if not data.success:
        yield f"{INDENT}{tool}{look.paint(' ✗ failed', Tone.BAD)}"
    elif not is_next and lines:
        yield look.paint(cut(f"{INDENT}{tool}: {lines.pop(0)}", look.width), Tone.QUIET)
    yield from (look.paint(INDENT + line, Tone.QUIET) for line in lines)


def arguments_text(arguments: Mapping[str, object], width: int) -> str:
    """A call's arguments on one line: the telling one as it is, the others as name=value."""
    telling = next((name for name in _TELLING if name in arguments), None)
    parts = [] if telling is None else [_value_text(arguments[telling], width)]
    hidden = {telling, *(name for _, _, name in _REPLACEMENT)}
    parts += [f"{name}={_value_text(value, 40)}" for name, value in arguments.items() if name not in hidden]
    return one_line(" ".join(parts), max(width, 10))


def _value_text(value: object, width: int) -> str:
    if isinstance(value, list):
        return one_line(", ".join(map(str, value)), width)
    if not isinstance(value, str):
        return one_line(str(value), width)
    first, *others = plain(value).strip("\n").split("\n")
    more = f" (+{len(others)} lines)" if others else ""
    return one_line(first, max(width - len(more), 10)) + more


def _first_lines(value: object) -> list[str]:
    if not isinstance(value, str) or not value.strip():
        return []
    lines = plain(value).strip("\n").split("\n")
    left = len(lines) - _REPLACEMENT_LINES
    return lines[:_REPLACEMENT_LINES] + ([f"… {left} more lines"] if left > 0 else [])
