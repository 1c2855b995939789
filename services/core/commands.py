"""Commands in a run's sandbox: what the worker asks for, what its sidecar is told, and what it answers."""

from typing import Annotated

from pydantic import ConfigDict, Field

from services.core.manifest import Sha256, Size
from services.core.paths import DEFAULT_LIMITS
from services.core.record import Record

# The newest part of what a command says is kept; up to so much of it travels inside the outcome.
OUTPUT_BYTES = 32 << 20
INLINE_BYTES = 8 << 10
MAX_SKIPPED = 1_001
NOT_STARTED = "not_started"
"""The reason of a command that a sandbox took and, for certain, never began: it may be given to another."""
NOT_LAID = "not_laid"
"""The reason of a command whose files could not be laid: it was not begun, and the output says why."""
Receipt = Annotated[str, Field(max_length=200, pattern="^[ -~]*$")]


class Order(Record):
    """A command to run once, in the files of a snapshot, where there are so many GPUs."""

    call: str
    snapshot: str
    command: str
    timeout_seconds: float
    gpus: int = 0


class NextCommand(Record):
    """What the sidecar is to do next: carry out an order, or end the sandbox, or (neither) ask again."""

    order: Order | None = None
    end: bool = False


class Brought(Record):
    """An object that the sidecar put into the store. `receipt` is the API's word for it; '' where it is not needed."""

    sha256: Sha256
    size: Size
    receipt: Receipt = ""


class ChangedFile(Record):
    """A file that a command left; one without content is deleted."""

    path: str = Field(min_length=1, max_length=4096)
    content: Brought | None = None
    mode: int = Field(0o644, ge=0, le=0o777)


class Outcome(Record):
    """How a command ended, and what it left.

    `reason` is that of an exit record. `output` is what it said, or, where that is long, `output_object` names it.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    exit_code: int | None = None
    reason: str = Field(max_length=100)
    output: bytes = Field(b"", max_length=2 * INLINE_BYTES)
    output_object: Brought | None = None
    changes: tuple[ChangedFile, ...] = Field((), max_length=2 * DEFAULT_LIMITS.files)
    skipped: tuple[Annotated[str, Field(max_length=4096)], ...] = Field((), max_length=MAX_SKIPPED)
