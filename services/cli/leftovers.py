"""Processes that a stack left behind when its supervisor was killed. Two Redis on the same files would ruin them."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

STOP_SECONDS = 10.0
_STARTED_FIELD = 22  # proc_pid_stat(5), counted from 1


def birth(pid: int) -> int | None:
    """When a process began, in ticks since the machine started; None where there is none, or no /proc to ask.

    A pid with its birth names a process for ever; a pid alone is given to another one some day.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] == "Z" else int(after_name[_STARTED_FIELD - 3])


def end(births: Mapping[int, int]) -> list[int]:
    """End those of the processes (pid → birth) that still live, and return their pids when they are gone."""
    alive = [pid for pid in births if births[pid] == birth(pid)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in alive:
            if births[pid] == birth(pid):
                os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while any(births[pid] == birth(pid) for pid in alive) and time.monotonic() < deadline:
            time.sleep(0.02)
    return alive
