"""What tools that ask something outside have in common: asking as the run's tenant, and telling what came.

What comes from outside is somebody else's words. It is fenced as evidence, and never more than an answer may have.
"""

from dataclasses import replace
from secrets import token_hex
from typing import Any

from services.core.digest import fence
from services.worker.tools.bounds import bounded
from services.worker.tools.tool import Call, Result
from services.worker.web.client import Answer, Wanted

_MINUTE = 60.0


def ask(call: Call, wanted: Wanted) -> Answer:
    """What comes of asking for the run's tenant. Raises a `WebError` that says what to do."""
    outside = call.desk.outside
    return outside.web.ask(wanted, outside.access(call.state.tenant))


def found(call: Call, text: str, source: str, data: Any = None, answer: Answer | None = None) -> Result:
    """An answer of what was found at `source`, which the agent may name as where it has it from."""
    note = (
        f"\n[{source} does not answer now; this is {answer.age_seconds / _MINUTE:.0f} minutes old]"
        if (answer is not None and answer.is_stale)
        else ""
    )
    inner = bounded(text, call.desk.artifacts)
    return Result(f"from {source}{note}\n{fence(inner, token_hex(6))}", data=data)


def with_kept(wanted: Wanted, hours: float) -> Wanted:
    """The same, of which an answer may be so old."""
    return replace(wanted, fresh_seconds=hours * 3600)
