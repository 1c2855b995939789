"""What the runner tells of an attempt while it runs and when it ends: the bodies of its protocol, typed and bounded.

Values come from the user's program and are worth no more than its word. Times are seconds since the epoch.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, FiniteFloat

from services.core.notes import Best, Name, clipped
from services.core.record import Record
from services.core.records import FileRef

MAX_BATCH = 5_000
MAX_OUTPUTS = 10_000

Time = Annotated[FiniteFloat, Field(ge=0, le=1e11)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Place = Annotated[int, Field(ge=-(2**53), le=2**53)]


Text = Annotated[str, BeforeValidator(clipped(2_000)), Field(max_length=2_000)]


class Metric(Record):
    """One value of a series. NaN and the infinities are values too; in JSON they are the strings `NaN`, `Infinity`."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    name: Name
    value: float
    step: Place | None = None
    epoch: FiniteFloat | None = None
    rank: Place | None = None
    time: Time


class Progress(Record):
    """How far the program says it is, how long it will take, and the best values so far."""

    fraction: float | None = Field(None, ge=0, le=1)
    text: Text = ""
    eta_seconds: float | None = Field(None, ge=0, le=1e10)
    best: tuple[Best, ...] = Field((), max_length=16)


class GpuSample(Record):
    """One GPU at one moment."""

    index: int = Field(ge=0, le=1024)
    name: str = Field("", max_length=200)
    used_percent: FiniteFloat | None = None
    memory_bytes: Count | None = None
    memory_total_bytes: Count | None = None


class Sample(Record):
    """What the program used at one moment."""

    time: Time
    rss_bytes: Count | None = None
    cpu_percent: FiniteFloat | None = None
    gpu: tuple[GpuSample, ...] = Field((), max_length=64)


class Warned(Record):
    """Something in the output that a person should know before the program ends."""

    kind: Name
    text: Text


class Observations(Record):
    """One batch. `first` is the running index of its first metric, which makes a repeated batch known as such."""

    first: Count = 0
    metrics: tuple[Metric, ...] = Field((), max_length=MAX_BATCH)
    progress: Progress | None = None
    samples: tuple[Sample, ...] = Field((), max_length=MAX_BATCH)
    warnings: tuple[Warned, ...] = Field((), max_length=MAX_BATCH)


class Gap(Record):
    """`bytes` of output that the log should have at `offset` and has not."""

    offset: Count
    bytes: Count


class FinishReport(Record):
    """How an attempt's program ended. `bytes` and `sha256` are of the whole log as it was sent.

    `exit_code` is as a shell says it (128 + signal); None when that will never be known.
    """

    exit_code: int | None = Field(None, ge=-(2**31), le=2**31)
    signal: int | None = Field(None, ge=0, le=255)
    reason: Literal[
        "exited",
        "signalled",
        "deadline",
        "cancelled",
        "shim_lost",
        "not_claimed",
        "start_failed",
    ]
    started: Time | None = None
    finished: Time | None = None
    bytes: Count
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    gaps: tuple[Gap, ...] = Field((), max_length=1_000)
    peaks: dict[str, FiniteFloat | None] = Field(default_factory=dict, max_length=64)
    outputs: tuple[FileRef, ...] = Field((), max_length=MAX_OUTPUTS)

    @property
    def gap_bytes(self) -> int:
        """How much of the output is known to be lost."""
        return sum(gap.bytes for gap in self.gaps)
