"""How a program ended, as far as its exit code and the platform's word for it say. Pure.

An exit code is as a shell says it: 128 + the signal's number. It is what is left where the log is silent.
"""

import re
from dataclasses import dataclass

from services.core.taxonomy import Failure

# What the platform calls an end, from the most telling on. Words are those of Kubernetes, Slurm and Cohort's runner.
_REASONS: tuple[tuple[str, Failure], ...] = (
    ("oomkilled", Failure.OUT_OF_MEMORY),
    ("out_of_memory", Failure.OUT_OF_MEMORY),
    ("out of memory", Failure.OUT_OF_MEMORY),
    ("systemoom", Failure.OUT_OF_MEMORY),
    ("killed for its memory", Failure.OUT_OF_MEMORY),
    ("ephemeral", Failure.DISK_FULL),
    ("emptydir", Failure.DISK_FULL),
    ("deadline", Failure.DEADLINE),
    ("timeout", Failure.DEADLINE),
    ("time limit", Failure.DEADLINE),
    ("image", Failure.IMAGE_PULL),
    ("pull", Failure.IMAGE_PULL),
    ("createcontainerconfig", Failure.CONFIG),
    ("unschedulable", Failure.UNSCHEDULABLE),
    ("failedscheduling", Failure.UNSCHEDULABLE),
    ("preempt", Failure.STOPPED),
    ("evict", Failure.STOPPED),
    ("nodelost", Failure.STOPPED),
    ("nodeshutdown", Failure.STOPPED),
    ("shutdown", Failure.STOPPED),
    ("terminated", Failure.STOPPED),
    ("taintmanager", Failure.STOPPED),
    ("cancel", Failure.STOPPED),
    ("unexpectedadmission", Failure.STOPPED),
    ("starterror", Failure.COMMAND_NOT_FOUND),
    ("containercannotrun", Failure.COMMAND_NOT_FOUND),
)
# By the platform's own account, whatever the program said.
CERTAIN = {
    Failure.OUT_OF_MEMORY,
    Failure.DISK_FULL,
    Failure.IMAGE_PULL,
    Failure.UNSCHEDULABLE,
    Failure.STOPPED,
    Failure.COMMAND_NOT_FOUND,
    Failure.CONFIG,
}
_CODES: dict[int, tuple[Failure, float, str]] = {
    2: (Failure.CONFIG, 0.35, "exit code 2 is what argument parsers end with"),
    124: (Failure.DEADLINE, 0.7, "exit code 124 is what `timeout` ends with"),
    125: (Failure.COMMAND_NOT_FOUND, 0.4, "exit code 125: the container or wrapper could not start it"),
    126: (Failure.PERMISSION_DENIED, 0.6, "exit code 126: the command was found and could not be executed"),
    127: (Failure.COMMAND_NOT_FOUND, 0.85, "exit code 127: the command was not found"),
    129: (Failure.STOPPED, 0.6, "SIGHUP: its terminal or session went away"),
    130: (Failure.STOPPED, 0.85, "SIGINT: it was interrupted"),
    131: (Failure.STOPPED, 0.5, "SIGQUIT: it was told to quit"),
    132: (Failure.NATIVE_CRASH, 0.85, "SIGILL: it executed an instruction that this processor does not have"),
    134: (Failure.NATIVE_CRASH, 0.8, "SIGABRT: native code called abort()"),
    135: (Failure.NATIVE_CRASH, 0.7, "SIGBUS: it touched memory that is not there"),
    136: (Failure.NATIVE_CRASH, 0.8, "SIGFPE: native code divided by zero"),
    137: (Failure.OUT_OF_MEMORY, 0.5, "SIGKILL: it was killed, most often for its memory"),
    138: (Failure.NATIVE_CRASH, 0.5, "SIGUSR1 ended it"),
    139: (Failure.NATIVE_CRASH, 0.88, "SIGSEGV: native code touched memory that is not its own"),
    143: (Failure.STOPPED, 0.85, "SIGTERM: it was told to end from outside"),
    152: (Failure.DEADLINE, 0.7, "SIGXCPU: its processor time was used up"),
    153: (Failure.DISK_FULL, 0.5, "SIGXFSZ: a file became larger than allowed"),
    159: (Failure.PERMISSION_DENIED, 0.5, "SIGSYS: it made a system call that is not allowed"),
}
_EXIT_CODE = re.compile(r"exit(?:ed with)? code:? (\d{1,3})")


@dataclass(frozen=True)
class Ending:
    """What is known of a program's end beside its log; `exit_code` is None where nobody knows it.

    `known` is the class that the cluster found by itself.
    """

    exit_code: int | None = None
    reason: str = ""
    known: Failure | None = None

    @property
    def code(self) -> int | None:
        """The exit code as a shell says it."""
        return 128 - self.exit_code if self.exit_code is not None and self.exit_code < 0 else self.exit_code

    @property
    def is_clean(self) -> bool:
        """Whether it ended as programs that did well do."""
        return self.code == 0 and self.told is None

    @property
    def told(self) -> Failure | None:
        """The class that the platform names."""
        if self.known is not None:
            return self.known
        reason = _EXIT_CODE.sub("", self.reason.lower())
        return next((failure for word, failure in _REASONS if word in reason), None)

    @property
    def by_code(self) -> tuple[Failure, float, str] | None:
        """The class that the exit code suggests, how surely, and why."""
        found = None if self.code is None else _CODES.get(self.code)
        if found and self.code == 137 and self.reason.lower() == "error":
            # The kubelet would have said that it was for memory.
            return Failure.STOPPED, 0.55, "SIGKILL, and not for its memory: it was killed from outside"
        return found

    @property
    def is_timed_out(self) -> bool:
        return self.told is Failure.DEADLINE or self.code == 124
