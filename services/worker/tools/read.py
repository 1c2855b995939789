"""`read`: a file of the workspace, or a long output by its pointer, by numbered lines."""

from pydantic import Field

from services.core.errors import CohortError
from services.worker.context.masking import POINTER as TALK, place_of
from services.worker.tools.bounds import POINTER
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool, ToolError

_LINE_CHARS = 2_000
_ANSWER_CHARS = 24_000


class Read(Parameters):
    path: str = Field(description="Path in the workspace, or a pointer (output:…, talk:…) from an earlier answer.")
    offset: int = Field(1, ge=1, description="First line to show, from 1.")
    limit: int = Field(2_000, ge=1, le=10_000, description="Most lines to show.")


def _run(call: Call, wanted: Read) -> Result:
    data = _content(call, wanted.path)
    if b"\0" in data[:8_192]:
        raise ToolError(f"{wanted.path} is binary ({len(data)} bytes); look at it with a program through bash")
    lines = _lines(data.decode(errors="replace"), is_output=wanted.path.startswith((POINTER, TALK)))
    first = wanted.offset - 1
    if lines and first >= len(lines):
        raise ToolError(f"{wanted.path} has {len(lines)} lines; offset {wanted.offset} is past the end")
    shown, used = [], 0
    for number, line in enumerate(lines[first : first + wanted.limit], start=wanted.offset):
        text = f"{number}\t{line[:_LINE_CHARS]}{' [line cut]' if len(line) > _LINE_CHARS else ''}"
        used += len(text) + 1
        if used > _ANSWER_CHARS:
            break
        shown.append(text)
    left = len(lines) - first - len(shown)
    more = f"\n[{left} more lines; continue with offset={first + len(shown) + 1}]" if left > 0 else ""
    return Result("\n".join(shown) + more if lines else "(the file is empty)")


def _lines(text: str, *, is_output: bool) -> list[str]:
    """The lines as an editor counts them. Of an output the long ones are wrapped: nothing else can show the rest."""
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    if not is_output:
        return lines
    return [line[start : start + _LINE_CHARS] for line in lines for start in range(0, max(len(line), 1), _LINE_CHARS)]


def _content(call: Call, path: str) -> bytes:
    if path.startswith(TALK):
        return _said(call, path).encode()
    try:
        if path.startswith(POINTER):
            return call.desk.artifacts.get(path.removeprefix(POINTER))
        return call.desk.workspace.read(call.state.snapshot, path)
    except CohortError as error:
        raise ToolError(str(error)) from error


def _said(call: Call, path: str) -> str:
    place = place_of(path)
    text = call.recall(*place) if place else None
    if text is None:
        raise ToolError(f"there is no {path}; pointers stand in earlier answers, as talk:<turn>:<call>")
    return text


TOOL = Tool(
    name="read",
    description="Show a text file with line numbers.",
    parameters=Read,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.READS}),
    is_parallel=True,
    is_of_a_run=False,
)
