"""Where attempts run: what every executor promises, and the records it speaks in.

An executor starts, watches and ends attempts by name. It retries nothing, judges no failure and keeps no truth of its
own: what it knows, it reads from the world (the Job, the process group) each time it is asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pydantic import SecretStr

from services.core.errors import CohortError, Conflict
from services.core.pool_states import Room
from services.core.records import Diagnosis, FileRef, Stage
from services.core.resources import Resources
from services.runner.spool import ExitReason, ExitRecord

__all__ = [
    "AttemptBusy",
    "AttemptSpec",
    "Executor",
    "ExitReason",
    "ExitRecord",
    "Held",
    "Observed",
    "Phase",
    "Remains",
    "Room",
]


MOST_REMAINS_BYTES = 16 << 20


class AttemptBusy(Conflict):
    """The attempt is not over, or its log and outputs are still on their way. Cancel it or wait, then remove it."""


class Held(CohortError):
    """The attempt is not started now, and nothing is wrong with it: ask again. The message says what it waits for."""


@dataclass(frozen=True)
class AttemptSpec:
    """One execution of a step.

    `attempt` is its DNS-safe id, `snapshot` the workspace it runs on, `inputs` the outputs of earlier steps by step
    name, `restores` the snapshot its checkpoint directory begins with ('' for none), `secrets` the names of those its
    program gets. `deadline_seconds` counts from the
    program's start, `grace_seconds` from SIGTERM to SIGKILL. `memory_bytes` is for the whole attempt where the executor
    can bound that, else for each process. `pool` is the one chosen for `resources`; with `has_another_pool` the attempt
    is given up where that stays full for some minutes, and made again in another.
    """

    attempt: str
    run: str
    step: str
    number: int
    tenant: str
    command: tuple[str, ...]
    snapshot: str
    deadline_seconds: float
    grace_seconds: float
    api_url: str
    token: SecretStr
    env: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Sequence[FileRef]] = field(default_factory=dict)
    memory_bytes: int | None = None
    restores: str = ""
    secrets: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    pool: str = ""
    has_another_pool: bool = False


class Phase(StrEnum):
    """How far an attempt has come, as the executor's world shows it. `UNKNOWN`: that world cannot be seen now."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        """Nothing of the program runs or will run."""
        return self in {Phase.FINISHED, Phase.LOST}


@dataclass(frozen=True)
class Observed:
    """An attempt at one moment.

    `exit` is there when the phase is over, `reason` says the same in a word. `stage` and `detail` say where a live one
    is and what keeps it there, for people. `diagnosis` is what is wrong with it, if something is: a final one ends the
    attempt in whatever phase it is, and says whether the platform tries again.

    On several nodes it is `LOST` or `FINISHED` when all of its ranks are over. `exit`, `diagnosis` and `rank` are then
    of the rank whose end brought the others'; the times in `exit` go from the first start to the last end, its bytes
    are those of all.

    Not `tended`: work is left and nobody does it (the program was never started, or its sidecar died), so `submit`
    should be called again. One that `lingers` is over, and its machine's GPUs are not free yet.
    """

    attempt: str
    phase: Phase
    exit: ExitRecord | None = None
    reason: str = ""
    tended: bool = True
    stage: Stage | None = None
    detail: str = ""
    diagnosis: Diagnosis | None = None
    lingers: bool = False
    rank: int | None = None


@dataclass(frozen=True)
class Remains:
    """The end of what a program wrote, from where it ran; `before`: how many bytes of it came earlier. `size` is that
    of the log, None where only the program's shim could have told.

    The log itself `is_exact`. A copy of it may have lost more before `before`, and end in a newline that nobody wrote.
    """

    data: bytes
    before: int
    size: int | None
    is_exact: bool


class Executor(Protocol):
    """Runs attempts. Any number of executors over the same world may be used at once, and any may die at any line."""

    def submit(self, spec: AttemptSpec) -> None:
        """Make the attempt run, once, whatever ran or died before: adopts what lives, revives a dead sidecar, never
        starts a second program. For an attempt that is settled it does nothing. The token may be a fresh one.
        Raises `Held`."""
        ...

    def inspect(self, attempt: str) -> Observed:
        """Where the attempt stands. `LOST` is only said when nothing of it is alive any more."""
        ...

    def cancel(self, attempt: str) -> None:
        """Have the program end: SIGTERM, the grace period, SIGKILL to all of it. Returns at once; an attempt that is
        over or absent stays as it is, one not yet started never will be."""
        ...

    def list(self) -> Sequence[str]:
        """The name of every attempt this executor's world knows of."""
        ...

    def watch(self, told: Callable[[str], None]) -> None:
        """Have `told` called, on any thread, with the name of an attempt to which something has happened that no runner
        announces. A hint: it may come late, twice or never."""
        ...

    def remains(self, attempt: str, rank: int = 0) -> Remains | None:
        """What is left of the output of an attempt that is over, `MOST_REMAINS_BYTES` at most: for a log that its
        runner did not bring. None where nothing is left, or it cannot be read now. May take some seconds."""
        ...

    def rooms(self) -> Sequence[Room]:
        """What the pools' nodes have now, for people to look at. Of a pool that is left out nothing is known."""
        ...

    def remove(self, attempt: str) -> None:
        """Forget an attempt that is over, with its files. One that is absent is no error. Raises `AttemptBusy`."""
        ...
