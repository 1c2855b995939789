"""`github_read_file`: a file of a repository on GitHub, by numbered lines."""

from pydantic import Field

from services.worker.tools.outside import ask, found
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool, ToolError
from services.worker.web import github

_LINES = 300
_MOST_LINES = 2_000
_LINE_CHARS = 2_000
REPO = r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$"


class GithubReadFile(Parameters):
    repo: str = Field(pattern=REPO, description="owner/name.")
    path: str = Field(min_length=1, max_length=1_000, description="The file's path in it.")
    ref: str = Field("", max_length=250, description="Branch, tag or commit; the default branch unless given.")
    line_start: int = Field(1, ge=1, description="First line to show.")
    line_end: int | None = Field(None, ge=1, description=f"Last line to show; {_LINES} lines unless given.")


def _run(call: Call, wanted: GithubReadFile) -> Result:
    path = wanted.path.strip("/")
    answer = ask(call, github.contents(call.desk.outside.places.github, wanted.repo, path, wanted.ref))
    data = github.read_contents(answer.json(), path)
    if path.endswith(".ipynb"):
        text = github.notebook(data)
    elif b"\0" in data[:8_192]:
        raise ToolError(f"{path} is binary ({len(data)} bytes)")
    else:
        text = data.decode(errors="replace")
    lines = text.splitlines()
    last = _last(wanted, len(lines))
    shown = [
        f"{number}\t{line[:_LINE_CHARS]}"
        for number, line in enumerate(lines[wanted.line_start - 1 : last], start=wanted.line_start)
    ]
    more = f"\n[{len(lines) - last} more lines; go on with line_start={last + 1}]" if last < len(lines) else ""
    source = f"github.com/{wanted.repo}/{path}" + (f"@{wanted.ref}" if wanted.ref else "")
    content = {"repo": wanted.repo, "path": path, "ref": wanted.ref, "lines": len(lines), "text": text}
    return found(call, "\n".join(shown) + more if lines else "(the file is empty)", source, content, answer)


def _last(wanted: GithubReadFile, lines: int) -> int:
    if lines and wanted.line_start > lines:
        raise ToolError(f"{wanted.path} has {lines} lines; line_start {wanted.line_start} is past the end")
    if wanted.line_end is not None and wanted.line_end < wanted.line_start:
        raise ToolError("line_end is before line_start")
    asked = wanted.line_start + _LINES - 1 if wanted.line_end is None else wanted.line_end
    return min(lines, asked, wanted.line_start + _MOST_LINES - 1)


TOOL = Tool(
    name="github_read_file",
    description="Show a file of a repository on GitHub with line numbers; a notebook as Markdown, without outputs.",
    parameters=GithubReadFile,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.READS}),
    is_parallel=True,
    is_of_a_run=False,
)
