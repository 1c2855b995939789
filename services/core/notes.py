"""What a run keeps of the words of its programs: best values and warnings. Frozen."""

from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat


def clipped(length: int) -> Callable[[object], object]:
    """Text that a program chose is cut, not refused: one long name must not cost the rest of the batch."""
    return lambda value: value[:length] if isinstance(value, str) else value


Name = Annotated[str, BeforeValidator(clipped(200)), Field(min_length=1, max_length=200)]


class Best(BaseModel):
    """The best value of a series so far, whose name says which way is better."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Name
    value: FiniteFloat
    step: int | None = None
    epoch: FiniteFloat | None = None


class StepWarning(BaseModel):
    """What somebody should know of a step before its program ends. `kind` is one of `early_warnings`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: str
    attempt: str
    kind: str
    text: str
