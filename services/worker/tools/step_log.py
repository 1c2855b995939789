"""`step_log`: a range of an attempt's raw log, or the lines that match a pattern."""

from secrets import token_hex

import regex
from pydantic import Field

from services.core.digest import clean, fence
from services.core.records import Attempt
from services.worker.tools.accounts import attempt_of
from services.worker.tools.tool import Call, Parameters, Replay, Result, Tool, ToolError

_ANSWER_BYTES = 12_000
_SEARCH_SECONDS = 1.0
_LINE_BYTES = 2_000
_SEARCHED_BYTES = 256 * 2**20


class StepLog(Parameters):
    step: str = Field(description="The step's name.")
    attempt: int | None = Field(None, ge=1, description="Which attempt; the last one unless given.")
    offset: int | None = Field(None, description="First byte to show; negative counts from the end.")
    limit: int = Field(8_000, ge=1, le=_ANSWER_BYTES, description="Most bytes to show.")
    search: str | None = Field(
        None, min_length=1, max_length=500, description="Show lines matching this regex instead."
    )


def _run(call: Call, wanted: StepLog) -> Result:
    attempt = find_attempt(call, wanted.step, wanted.attempt)
    if wanted.search is not None:
        text = _search(call, attempt, wanted.search, wanted.limit)
    else:
        text = _range(call, attempt, wanted.offset, wanted.limit)
    return Result(fence(text, token_hex(6)))


def find_attempt(call: Call, step_name: str, number: int | None) -> Attempt:
    """The attempt a tool asks for. Raises `ToolError`."""
    step = call.state.steps.get(step_name)
    if step is None:
        raise ToolError(f"there is no step {step_name!r}; submitted: {', '.join(call.state.steps) or 'none yet'}")
    try:
        return attempt_of(step, number)
    except IndexError:
        raise ToolError(f"step {step_name} has attempts 1 to {len(step.attempts)}") from None


def _range(call: Call, attempt: Attempt, offset: int | None, limit: int) -> str:
    size = call.desk.logs.size(attempt.id)
    start = max(0, size - limit) if offset is None else offset if offset >= 0 else max(0, size + offset)
    data = call.desk.logs.read(attempt.id, start, limit)
    return f"bytes {start} to {start + len(data)} of {size}\n{clean(data.decode(errors='replace'))}"


def _search(call: Call, attempt: Attempt, pattern: str, limit: int) -> str:
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ToolError(f"search: {pattern!r} is no regular expression: {error}") from error
    found: list[str] = []
    used = count = offset = 0
    left_over = b""
    for chunk in call.desk.logs.stream(attempt.id):
        *lines, left_over = (left_over + chunk).split(b"\n")
        for line in lines:
            if _matches(compiled, line):
                count += 1
                text = f"@{offset} {clean(line[:_LINE_BYTES].decode(errors='replace'))}"
                used += len(text)
                found += [text] if used <= limit else []
            offset += len(line) + 1
        left_over = left_over[-_LINE_BYTES:] if len(left_over) > 2**20 else left_over
        if offset > _SEARCHED_BYTES:
            break
    if left_over and _matches(compiled, left_over):
        count += 1
        found.append(f"@{offset} {clean(left_over[:_LINE_BYTES].decode(errors='replace'))}")
    more = f"\n[{count - len(found)} more matches; narrow the pattern]" if count > len(found) else ""
    return f"{count} lines match (@ is the line's byte offset)\n" + "\n".join(found) + more


def _matches(compiled: "regex.Pattern[str]", line: bytes) -> bool:
    try:
        return compiled.search(line[:_LINE_BYTES].decode(errors="replace"), timeout=_SEARCH_SECONDS) is not None
    except TimeoutError:
        raise ToolError("search: this pattern backtracks for too long; make it simpler") from None


TOOL = Tool(
    name="step_log",
    description="Show a range of a step's raw log by byte offset, or search it with a regular expression.",
    parameters=StepLog,
    run=_run,
    replay=Replay.PURE,
    is_parallel=True,
)
