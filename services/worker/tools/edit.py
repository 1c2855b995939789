"""`edit`: replace a passage of a file that is there exactly once, or everywhere."""

from pydantic import Field

from services.core.errors import CohortError
from services.core.workspace import Change
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool, ToolError
from services.worker.tools.write import check_change, syntax_note


class Edit(Parameters):
    path: str = Field(description="Path in the workspace.")
    old: str = Field(min_length=1, description="The passage to replace, exactly as it stands.")
    new: str = Field(max_length=2_000_000, description="What to put in its place.")
    replace_all: bool = Field(False, description="Replace every occurrence instead of requiring just one.")


def _run(call: Call, wanted: Edit) -> Result:
    if wanted.old == wanted.new:
        raise ToolError("old and new are the same, so there is nothing to do")
    try:
        entry = call.desk.workspace.entry(call.state.snapshot, wanted.path)
        text = call.desk.workspace.read(call.state.snapshot, wanted.path).decode()
    except UnicodeDecodeError as error:
        raise ToolError(f"{wanted.path} is not UTF-8 text; edit it with a program through bash") from error
    except CohortError as error:
        raise ToolError(str(error)) from error
    count = text.count(wanted.old)
    if count == 0:
        raise ToolError(f"{wanted.path} has no such passage; read the file and copy the passage exactly")
    if count > 1 and not wanted.replace_all:
        raise ToolError(f"{wanted.path} has the passage {count} times; make it longer, or set replace_all")
    changed = text.replace(wanted.old, wanted.new)
    change = Change(wanted.path, changed.encode(), entry.mode)
    check_change(call, change)
    line = text[: text.index(wanted.old)].count("\n") + 1
    where = f"at line {line}" if count == 1 else f"in {count} places"
    return Result(f"edited {wanted.path} {where}{syntax_note(wanted.path, changed)}", changes=(change,))


TOOL = Tool(
    name="edit",
    description="Replace a passage of a workspace file. The passage must stand in it exactly once.",
    parameters=Edit,
    run=_run,
    replay=Replay.IDEMPOTENT,
    effects=frozenset({Effect.WRITES}),
)
