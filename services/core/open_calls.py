"""What a run has asked for and not yet heard of: a part of its state."""

from services.core.record import Record


class OpenCall(Record):
    """A tool call whose intent is written and whose output is not. `begun`: an unsafe tool has been started. `since`:
    when it was asked for, or begun."""

    tool_call_id: str
    tool: str
    index: int
    begun: bool = False
    since: float | None = None


class PendingModelCall(Record):
    """A model call whose intent is written and whose outcome is not."""

    call: str
    reserved_microdollars: int
    estimated_tokens: int = 0
    since: float | None = None
