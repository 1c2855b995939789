"""What a run may use up."""

from pydantic import ConfigDict, Field

from services.core.record import Record


class Limits(Record):
    """What a run may use up. Nothing resets them: not a message, not a restart, not an approval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turns: int = Field(300, ge=1, le=10_000, description="Model replies.")
    minutes: float = Field(24 * 60, gt=0, le=60 * 24 * 30, description="Wall-clock minutes since acceptance.")
    tokens: int | None = Field(None, ge=1, description="Prompt and completion tokens together.")
    dollars: float | None = Field(None, gt=0, le=1_000_000, description="Model calls and steps together.")
    attempts: int = Field(5, ge=1, le=100, description="Failed attempts of one step before a person is asked.")
