"""What is to go wrong in a test: which process does what to itself, or to Redis, at which named boundary.

The plan lies in a directory that the test and all processes it started share. A fault happens once, however often its
process is restarted: each time the boundary is reached takes the next number, by a file that only one can create.
"""

import itertools
import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path


class Deed(StrEnum):
    """What happens at the boundary."""

    KILL = "kill"
    """The process gets SIGKILL."""
    STOP = "stop"
    """The process gets SIGSTOP; the test lets it go on."""
    KILL_REDIS = "kill_redis"
    """redis-server gets SIGKILL; the process goes on."""


@dataclass(frozen=True)
class Fault:
    """`deed` when a process of `service` reaches `point` for the `nth` time, over all its restarts."""

    service: str
    point: str
    nth: int = 1
    deed: Deed = Deed.KILL

    def __str__(self) -> str:
        return f"{self.service}-{self.point}-{self.nth}-{self.deed}"


class Plan:
    """The faults of one test, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def make(self, *faults: Fault) -> None:
        """Write the plan down, before any process starts."""
        for name in ("hits", "seen", "done"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "faults.json").write_text(json.dumps([asdict(fault) for fault in faults]))

    def faults(self) -> list[Fault]:
        """What was planned."""
        rows = json.loads((self.directory / "faults.json").read_text())
        return [Fault(**{**row, "deed": Deed(row["deed"])}) for row in rows]

    def note_redis(self, pid: int) -> None:
        """Say which process redis-server is now."""
        # In one move: a process at its last boundary may be reading it.
        scratch = self.directory / "redis.pid.new"
        scratch.write_text(str(pid))
        scratch.replace(self.directory / "redis.pid")

    def has_happened(self, fault: Fault) -> bool:
        """Whether the fault's boundary was reached often enough."""
        return self._done(fault).exists()

    def culprit(self, fault: Fault) -> int:
        """The process that did it."""
        return int(self._done(fault).read_text())

    def seen(self) -> set[str]:
        """Every boundary that was reached, as `service:point`."""
        return {path.name for path in (self.directory / "seen").iterdir()}

    def hook(self, service: str) -> Callable[[str], None]:
        """What a process of `service` calls at every boundary."""
        mine = [fault for fault in self.faults() if fault.service == service]

        def reached(point: str) -> None:
            (self.directory / "seen" / f"{service}:{point}").touch()
            wanted = [fault for fault in mine if fault.point == point]
            if not wanted:
                return
            count = self._count(f"{service}:{point}")
            for fault in wanted:
                if fault.nth == count:
                    self._do(fault)

        return reached

    def _count(self, name: str) -> int:
        for number in itertools.count(1):
            try:
                os.close(os.open(self.directory / "hits" / f"{name}.{number}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            return number
        raise AssertionError("numbers do not end")

    def _do(self, fault: Fault) -> None:
        scratch = self._done(fault).with_suffix(".tmp")
        scratch.write_text(str(os.getpid()))
        scratch.rename(self._done(fault))
        match fault.deed:
            case Deed.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Deed.STOP:
                os.kill(os.getpid(), signal.SIGSTOP)
            case Deed.KILL_REDIS:
                os.kill(int((self.directory / "redis.pid").read_text()), signal.SIGKILL)

    def _done(self, fault: Fault) -> Path:
        return self.directory / "done" / str(fault)
