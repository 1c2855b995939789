"""Finding and ending what a dead shim left behind. Only ever on the machine and in the pid namespace it ran in.

A process is named by pid and start time, never by the pid alone, and is signalled through a pidfd: a number that the
kernel has given to somebody else since cannot be hit.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from services.runner.shim import boot_id, stat_fields
from services.runner.spool import ShimRecord

_DEAD = (b"Z", b"X")
_LOOK_AGAIN_SECONDS = 0.02


@dataclass(frozen=True)
class Process:
    """One process as /proc showed it a moment ago. `start_ticks`: clock ticks since boot."""

    pid: int
    pgrp: int
    session: int
    start_ticks: int


def look(pid: int) -> Process | None:
    """The living process with this pid. A zombie is not living."""
    try:
        fields = stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in _DEAD:
        return None
    return Process(pid=pid, pgrp=int(fields[2]), session=int(fields[3]), start_ticks=int(fields[19]))


def survivors(shim: ShimRecord, output_directory: Path) -> list[Process]:
    """What still runs of a program whose shim is dead: its session and group, and whoever carries its environment,
    which is known by the output directory it names.

    Empty after a reboot and from another pid namespace, where the numbers mean other processes. A process that left
    the session *and* overwrote its environment is not found; the only cure for that is a pid namespace.
    """
    if shim.boot_id != boot_id() or shim.pid_namespace != os.readlink("/proc/self/ns/pid"):
        return []
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())
    living = [process for process in found if process is not None]
    return [each for each in living if _is_in_group(each, shim) or _carries(each.pid, output_directory)]


def end_survivors(shim: ShimRecord, output_directory: Path, seconds: float = 5.0) -> bool:
    """Kill what `survivors` finds until it finds nothing. False if something still lived after `seconds`."""
    give_up = time.monotonic() + seconds
    while True:
        left = survivors(shim, output_directory)
        if not left:
            return True
        if time.monotonic() > give_up:
            return False
        for process in left:
            _kill(process)
        time.sleep(_LOOK_AGAIN_SECONDS)


def _is_in_group(process: Process, shim: ShimRecord) -> bool:
    # A group's number is not given away while a member lives; one that started earlier is another, later group's.
    if shim.pgid is None or process.start_ticks < (shim.pgid_start_ticks or 0):
        return False
    return shim.pgid in (process.pgrp, process.session)


def _carries(pid: int, output_directory: Path) -> bool:
    """Whether the process was started with the program's environment. The sidecar has outputs, but no inputs."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    is_ours = b"COHORT_OUTPUT_DIR=" + os.fsencode(output_directory) in environment
    return is_ours and any(entry.startswith(b"COHORT_INPUT_DIR=") for entry in environment)


def _kill(process: Process) -> None:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if look(process.pid) == process:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
