"""Processes that outlive whoever starts them, and that leave no zombie behind while we live."""

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path


class Detached:
    """What this process started and has not seen end yet. Threads may share it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._pids: set[int] = set()

    def spawn(self, command: list[str], environment: Mapping[str, str], errors: Path, stdin: int | None = None) -> int:
        """Start `command` in a session of its own, with none of our descriptors, environment or signal settings.

        Its stderr is appended to `errors`, its stdin is the descriptor given, or empty. Returns its
        pid. Raises OSError.
        """
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0) if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(errors), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
        ]
        # Python ignores these two for itself, and what is ignored would be inherited.
        signals = [signal.SIGPIPE, signal.SIGXFSZ]
        pid = os.posix_spawn(
            command[0], command, environment, file_actions=files, setsid=True, setsigmask=[], setsigdef=signals
        )
        with self._guard:
            self._pids.add(pid)
        return pid

    def is_alive(self, pid: int) -> bool:
        """Whether a process that was started here has not ended yet."""
        with self._guard:
            if pid in self._pids and _has_ended(pid):
                self._pids.remove(pid)
            return pid in self._pids

    def reap(self) -> None:
        """Collect what has ended, so that no zombie keeps its pid. Call now and then."""
        with self._guard:
            self._pids = {pid for pid in self._pids if not _has_ended(pid)}


def _has_ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True
