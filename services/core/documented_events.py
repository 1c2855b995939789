"""The sixteen events whose names and keys users of ml-intern know, and what every event is made of."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from services.core.records import Cuts


class EventData(BaseModel):
    """The payload of one kind of event. `event_type` names it on the wire."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    event_type: ClassVar[str]

    def wire(self) -> Any:
        """The JSON value of `data`."""
        return self.model_dump(mode="json", exclude_none=True)


class _NoData(EventData):
    """An event whose `data` is null."""

    def wire(self) -> Any:
        return None


class Processing(EventData):
    """The agent takes up new input: the goal, or a message."""

    event_type: ClassVar[str] = "processing"
    message: str = "Processing user input"


class Ready(EventData):
    """A worker has taken the run for the first time."""

    event_type: ClassVar[str] = "ready"
    message: str = "Agent initialized"
    tool_count: int


class AssistantChunk(EventData):
    """A piece of the model's text while it streams; several deltas are put together into one piece."""

    event_type: ClassVar[str] = "assistant_chunk"
    content: str


class AssistantMessage(EventData):
    """The model's whole text, where it was not streamed."""

    event_type: ClassVar[str] = "assistant_message"
    content: str


class AssistantStreamEnd(EventData):
    """The model's reply is complete."""

    event_type: ClassVar[str] = "assistant_stream_end"


class ToolCall(EventData):
    """The intent of a tool call, written before anything of it happens."""

    event_type: ClassVar[str] = "tool_call"
    tool: str
    arguments: dict[str, Any]
    tool_call_id: str


class ToolOutput(EventData):
    """What a tool call answered: the text the model sees."""

    event_type: ClassVar[str] = "tool_output"
    tool: str
    tool_call_id: str
    output: str
    success: bool


class ToolLog(EventData):
    """A line a tool has to say while it works."""

    event_type: ClassVar[str] = "tool_log"
    tool: str
    log: str


class ToolStateChange(EventData):
    """A tool call changed its state; `running` is written before an unsafe tool begins."""

    event_type: ClassVar[str] = "tool_state_change"
    tool_call_id: str
    tool: str
    state: str


class ApprovalRequired(EventData):
    """Tool calls that wait for a person's decision."""

    event_type: ClassVar[str] = "approval_required"
    tools: list[dict[str, Any]]
    count: int


class TurnComplete(EventData):
    """The agent has stopped working on the input it had; `run_finished` or the status says how."""

    event_type: ClassVar[str] = "turn_complete"
    history_size: int
    final_response: str | None

    def wire(self) -> Any:
        return self.model_dump(mode="json")


class ErrorRaised(EventData):
    """Something went wrong that a person should read."""

    event_type: ClassVar[str] = "error"
    error: str


class Interrupted(_NoData):
    """The work was cut off by a cancel."""

    event_type: ClassVar[str] = "interrupted"


class Compacted(EventData):
    """The model's view of the history was shortened: from all of it, by its tokens, to the view."""

    event_type: ClassVar[str] = "compacted"
    old_tokens: int
    new_tokens: int
    cuts: Cuts = Cuts()


class UndoComplete(_NoData):
    """The last input was taken back."""

    event_type: ClassVar[str] = "undo_complete"


class Shutdown(_NoData):
    """The last event of a run that is over."""

    event_type: ClassVar[str] = "shutdown"
