"""Looking at processes from outside: by pid safely, and by what they work on."""

import os
import select
import signal
from pathlib import Path

from services.runner.processes import look
from services.runner.spool import Spool

_DEAD = ("Z", "X")


class Process:
    """A process that somebody else started. Its number is held, so that it can't be another one's by now."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = None

    @property
    def is_alive(self) -> bool:
        """False once it has ended, whether or not its parent has asked how."""
        if self._descriptor is None:
            return False
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        return not poller.poll(0)

    def send(self, number: signal.Signals) -> None:
        """Signal it; one that has ended is left in peace."""
        if self._descriptor is not None and self.is_alive:
            try:
                signal.pidfd_send_signal(self._descriptor, number)
            except ProcessLookupError:
                return

    def close(self) -> None:
        """Let go of the number."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class AttemptProcesses:
    """The processes of one attempt on this machine."""

    def __init__(self, directory: Path) -> None:
        self.name = directory.name
        self._directory = directory
        self._spool = Spool(directory / "spool")

    @property
    def said_bytes(self) -> int:
        """How much its program has said, shipped or not."""
        return self._spool.log.stat().st_size if self._spool.log.exists() else 0

    @property
    def is_over(self) -> bool:
        """Whether its shim has said how it ended."""
        return self._spool.exit() is not None

    def kill_shim(self) -> None:
        """The machine's end, as far as the attempt is concerned: its program dies with the shim."""
        if record := self._spool.shim():
            _end(record.pid, record.start_ticks)

    def kill_program(self) -> None:
        """As the system does when memory runs out."""
        if (record := self._spool.shim()) and record.pgid:
            _end(record.pgid, record.pgid_start_ticks)

    def kill_sidecar(self) -> None:
        """What ships the log."""
        for pid, command in at_work_in(self._directory.parents[2]).items():
            if "tests.crash.faulty runner" in command:
                _end(pid, None)


def _end(pid: int, start_ticks: int | None) -> None:
    """Kill a process; one that has the number by now but began at another time is left in peace."""
    process = Process(pid)
    found = look(pid)
    if found and start_ticks in (None, found.start_ticks):
        process.send(signal.SIGKILL)
    process.close()


def at_work_in(directory: Path) -> dict[int, str]:
    """Every living process that has `directory` on its command line, or works below it: pid → command line."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            command = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = Path("/proc", name, "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in _DEAD and (str(directory) in command or _works_below(name, directory)):
            found[int(name)] = command
    return found


def _works_below(pid: str, directory: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(directory)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
