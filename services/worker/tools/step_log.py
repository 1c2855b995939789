"""`step_log`: a range of an attempt's raw log, or the lines that match a pattern."""

import time
from collections.abc import Iterable, Iterator
from secrets import token_hex

import regex
from pydantic import Field

from services.core.digest import clean, fence
from services.core.keys import rank_id
from services.core.records import Attempt
from services.worker.tools.accounts import attempt_of
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool, ToolError

_ANSWER_BYTES = 12_000
_LINE_SECONDS = 0.5
_SEARCH_SECONDS = 10.0
_LINE_BYTES = 2_000


class StepLog(Parameters):
    step: str = Field(description="The step's name.")
    attempt: int | None = Field(None, ge=1, description="Which attempt; the last one unless given.")
    rank: int | None = Field(None, ge=0, description="On several nodes, which rank; the one that failed unless given.")
    offset: int | None = Field(None, description="First byte to show; negative counts from the end.")
    limit: int = Field(8_000, ge=1, le=_ANSWER_BYTES, description="Most bytes to show.")
    search: str | None = Field(
        None, min_length=1, max_length=500, description="Show lines matching this regex instead."
    )


def _run(call: Call, wanted: StepLog) -> Result:
    attempt = find_attempt(call, wanted.step, wanted.attempt)
    name, head = _log_of(attempt, wanted.rank)
    if wanted.search is not None:
        text = head + _search(call, name, wanted.search, wanted.limit)
    else:
        text = head + _range(call, name, wanted.offset, wanted.limit)
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


def _log_of(attempt: Attempt, rank: int | None) -> tuple[str, str]:
    """The name of a rank's log, and what tells it from those of the others. Raises `ToolError`."""
    nodes = attempt.resources.nodes
    if rank is not None and rank >= nodes:
        raise ToolError(f"rank: attempt {attempt.number} has the ranks 0 to {nodes - 1}")
    chosen = (attempt.rank or 0) if rank is None else rank
    return rank_id(attempt.id, chosen), f"rank {chosen} of {nodes}, " if nodes > 1 else ""


def _range(call: Call, log: str, offset: int | None, limit: int) -> str:
    size = call.desk.logs.size(log)
    wanted = -limit if offset is None else offset
    start = min(size, wanted) if wanted >= 0 else max(0, size + wanted)
    data = call.desk.logs.read(log, start, limit)
    return f"bytes {start} to {start + len(data)} of {size}\n{clean(data.decode(errors='replace'))}"


def _search(call: Call, log: str, pattern: str, limit: int) -> str:
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ToolError(f"search: {pattern!r} is no regular expression: {error}") from error
    found: list[str] = []
    used = count = 0
    ends, more = time.monotonic() + _SEARCH_SECONDS, ""
    for offset, line in _numbered(call.desk.logs.stream(log)):
        text = line[:_LINE_BYTES].decode(errors="replace")
        if _matches(compiled, text):
            count += 1
            used += len(text)
            found += [f"@{offset} {clean(text)}"] if used <= limit else []
        if time.monotonic() > ends:
            more = f"\n[searched no further than byte {offset}: the log is too long for this pattern]"
            break
    more += f"\n[{count - len(found)} more matches; narrow the pattern]" if count > len(found) else ""
    return f"{count} lines match (@ is the line's byte offset)\n" + "\n".join(found) + more


def _numbered(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each line with its byte offset. Of an endless one no more than its beginning is kept."""
    offset, dropped, rest = 0, 0, b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield offset, line
            offset += len(line) + dropped + 1
            dropped = 0
        if len(rest) > _LINE_BYTES:
            dropped += len(rest) - _LINE_BYTES
            rest = rest[:_LINE_BYTES]
    if rest:
        yield offset, rest


def _matches(compiled: "regex.Pattern[str]", line: str) -> bool:
    try:
        return compiled.search(line, timeout=_LINE_SECONDS) is not None
    except TimeoutError:
        raise ToolError("search: this pattern takes too long on one line; make it simpler") from None


TOOL = Tool(
    name="step_log",
    description="Show a range of a step's raw log by byte offset, or search it with a regular expression.",
    parameters=StepLog,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.READS}),
    is_parallel=True,
)
