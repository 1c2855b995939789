"""Researches: runs that another run has begun to find something out, within limits of its own."""

from services.core.lifecycle import Reason, Status
from services.core.limits import Limits
from services.core.record import Record


class Parent(Record):
    """Whose research a run is, and the tool call that began it."""

    run: str
    tool_call_id: str


class Research(Record):
    """A research as its parent knows it. `run` is the run that does it; without a `status` it is under way.

    While it is, the dollars and tokens of its `limits` are held of its parent's; `tokens`, `cost_usd` and `turns` are
    what it has used in the end.
    """

    run: str
    tool_call_id: str
    title: str
    limits: Limits
    started: float
    ended: float | None = None
    status: Status | None = None
    reason: Reason = Reason.NONE
    turns: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    @property
    def is_live(self) -> bool:
        return self.status is None
