"""A data centre that does what the test says. The local executor, which is real, has tests of its own."""

from collections.abc import Callable, Sequence
from typing import Any

from services.core.observations import FinishReport
from services.runner.spool import ExitReason, ExitRecord
from services.worker.executors import AttemptBusy, AttemptSpec, Observed, Phase, Remains, Room


def exit_record(exit_code: int | None = 0, reason: str = "exited", **fields: Any) -> ExitRecord:
    """How a program ended."""
    values = {"signal": None, "started": 1_000.0, "finished": 1_090.0, "bytes": 0, **fields}
    return ExitRecord(exit_code=exit_code, reason=ExitReason(reason), **values)


def report(exit_code: int | None = 0, reason: str = "exited", **fields: Any) -> FinishReport:
    """What the runner says of it."""
    values = {"bytes": 0, "sha256": "0" * 64, **fields}
    return FinishReport.model_validate({"exit_code": exit_code, "reason": reason, **values})


class Cloud:
    """An executor whose world is a dictionary. Remembers what it was asked to do."""

    def __init__(self) -> None:
        self.world: dict[str, Observed] = {}
        self.submitted: list[AttemptSpec] = []
        self.cancelled: list[str] = []
        self.removed: list[str] = []
        self.broken: dict[str, Exception] = {}
        self.busy: set[str] = set()
        self.has_room: list[Room] = []
        self.left: dict[tuple[str, int], Remains] = {}

    def set(self, attempt: str, phase: Phase, exit: ExitRecord | None = None, **fields: Any) -> None:
        """Where an attempt stands from now on."""
        self.world[attempt] = Observed(attempt, phase, exit, **fields)

    def submit(self, spec: AttemptSpec) -> None:
        self._check(spec.attempt)
        self.submitted.append(spec)
        self.world.setdefault(spec.attempt, Observed(spec.attempt, Phase.STARTING))

    def inspect(self, attempt: str) -> Observed:
        self._check(attempt)
        return self.world.get(attempt, Observed(attempt, Phase.ABSENT))

    def cancel(self, attempt: str) -> None:
        self.cancelled.append(attempt)

    def list(self) -> Sequence[str]:
        return list(self.world)

    def watch(self, told: Callable[[str], None]) -> None:
        raise AssertionError("the tests tell the controller themselves")

    def remains(self, attempt: str, rank: int = 0) -> Remains | None:
        return self.left.get((attempt, rank))

    def rooms(self) -> Sequence[Room]:
        return self.has_room

    def remove(self, attempt: str) -> None:
        if attempt in self.busy:
            raise AttemptBusy(f"{attempt} is still shipping")
        self.removed.append(attempt)
        self.world.pop(attempt, None)

    def _check(self, attempt: str) -> None:
        if attempt in self.broken:
            raise self.broken[attempt]


class Listener:
    """Hints that are only remembered."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.waiting = 0

    def publish(self, run: str) -> None:
        self.heard.append(run)

    def backlog(self) -> int:
        return self.waiting
