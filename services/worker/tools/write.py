"""`write`: create or replace a file of the workspace."""

from pydantic import Field

from services.core.errors import CohortError
from services.core.workspace import FILE_MODE, BadPath, Change, PathNotFound
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool, ToolError


class Write(Parameters):
    path: str = Field(description="Path in the workspace.")
    content: str = Field(max_length=2_000_000, description="The whole new content.")


def _run(call: Call, wanted: Write) -> Result:
    change = Change(wanted.path, wanted.content.encode(), _mode(call, wanted.path))
    check_change(call, change)
    lines = len(wanted.content.removesuffix("\n").split("\n")) if wanted.content else 0
    return Result(f"wrote {wanted.path}, {lines} lines{syntax_note(wanted.path, wanted.content)}", changes=(change,))


def _mode(call: Call, path: str) -> int:
    """A file that is replaced stays executable if it was."""
    try:
        return call.desk.workspace.entry(call.state.snapshot, path).mode
    except (PathNotFound, BadPath):
        return FILE_MODE


def check_change(call: Call, change: Change) -> None:
    """Raise `ToolError` when the workspace would refuse the change."""
    try:
        call.desk.workspace.apply(call.state.snapshot, [change])
    except CohortError as error:
        raise ToolError(str(error)) from error


def syntax_note(path: str, content: str) -> str:
    """A warning when a Python file does not parse; empty otherwise."""
    if not path.endswith(".py"):
        return ""
    try:
        compile(content, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"\nwarning: this does not parse: {error or type(error).__name__}"
    return ""


TOOL = Tool(
    name="write",
    description="Create a file in the workspace or replace its whole content.",
    parameters=Write,
    run=_run,
    replay=Replay.IDEMPOTENT,
    effects=frozenset({Effect.WRITES}),
)
