"""Where the agent's commands run: what every shell promises, and the records it speaks in.

A command is started at most once, whoever asks for it and however often, and goes on without the worker that asked.
Whoever takes the run over is told its outcome, or that nobody can know it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from services.core.commands import Order
from services.core.contents import Change
from services.core.errors import CohortError
from services.core.records import RunState

__all__ = ["Interrupted", "Order", "OutcomeUnknown", "Ran", "Shell", "Stop"]

Stop = Callable[[], bool]


class OutcomeUnknown(CohortError):
    """What became of a command cannot be known."""


class Interrupted(CohortError):
    """The caller's `stop` said so. The command itself goes on, for whoever takes the run over."""


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it left: its output (the newest part, if it was huge) and changed files."""

    exit_code: int | None
    reason: str
    output: bytes
    changes: tuple[Change, ...]
    skipped: tuple[str, ...]


class Shell(Protocol):
    """Runs commands for runs. Threads may share it."""

    def run(self, state: RunState, order: Order, stop: Stop) -> Ran:
        """Run a command and wait for its end. Raises `Interrupted`, `OutcomeUnknown`, and another `CohortError` where
        it could not be begun."""
        ...

    def recover(self, state: RunState, order: Order, stop: Stop) -> Ran | None:
        """The outcome of a command that a worker which is gone may have begun; waits for it. None: unknown, and what
        is unknown is not started any more. Raises what `run` raises."""
        ...

    def runs(self) -> list[str]:
        """The runs that have something on this machine."""
        ...

    def vacate(self, state: RunState) -> bool:
        """Have what the shell holds for a run end where that costs money. False: it is under way."""
        ...

    def close(self, run: str) -> None:
        """Stop whatever still runs for a run and forget it. Another worker may be doing the same."""
        ...
