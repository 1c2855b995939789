"""The program of a sandbox: starts each command that the sidecar hands over, under a shim of its own.

    python -I -S host.py --commands DIR --cwd DIR --grace-seconds N -- PYTHON... SHIM

It speaks to nobody, holds no secret and keeps nothing: a command is a directory in DIR with a `request.json` and the
spool of its shim, which alone knows how it ended. A file named `end` in DIR makes it end once no command is at work,
SIGTERM stops them first. Standard library only, Python 3.9 or later: like the shim it is carried into any image.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

LOOK_SECONDS = 0.03


def main(arguments: Sequence[str]) -> int:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="host", description="Run the commands of a sandbox.")
    parser.add_argument("--commands", required=True, help="directory shared with the sidecar")
    parser.add_argument("--cwd", required=True, help="where commands run")
    parser.add_argument("--grace-seconds", type=float, required=True, help="from SIGTERM to SIGKILL of a command")
    parser.add_argument("shim", nargs="+", help="how a shim is started, after --")
    host = Host(parser.parse_args(arguments))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: host.stop())
    host.run()
    return 0


class Host:
    """The commands of one sandbox. Each is started once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._commands: str = options.commands
        self._started: set[str] = set()
        self._at_work: dict[int, str] = {}
        self._stopped = False

    def stop(self) -> None:
        """Take no more commands, have those at work stopped, and end."""
        self._stopped = True

    def run(self) -> None:
        """Start what is handed over until it is time to end."""
        while not self._is_over():
            if self._stopped:
                self._cancel()
            else:
                self._start_new()
            self._reap()
            time.sleep(LOOK_SECONDS)

    def _is_over(self) -> bool:
        told = self._stopped or os.path.exists(os.path.join(self._commands, "end"))
        return told and not self._at_work

    def _start_new(self) -> None:
        try:
            names = sorted(os.listdir(self._commands))
        except OSError as error:
            complain(f"{self._commands}: {error}")
            return
        for name in names:
            request = None if name in self._started else read_request(os.path.join(self._commands, name))
            if request is not None:
                self._started.add(name)
                self._at_work[self._start(os.path.join(self._commands, name), request)] = name

    def _start(self, directory: str, request: dict[str, Any]) -> int:
        limits = ["--deadline-seconds", str(request["timeout_seconds"])]
        limits += ["--grace-seconds", str(self._options.grace_seconds)]
        argv = [*self._options.shim, "--spool", directory, "--cwd", self._options.cwd, *limits]
        pid = os.fork()
        if pid == 0:
            become([*argv, "--", "sh", "-c", request["command"]], directory)
        return pid

    def _cancel(self) -> None:
        for name in self._at_work.values():
            try:
                os.close(os.open(os.path.join(self._commands, name, "cancel"), os.O_WRONLY | os.O_CREAT, 0o644))
            except OSError as error:
                complain(f"{name}: {error}")

    def _reap(self) -> None:
        while self._at_work:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._at_work.pop(pid, None)


def read_request(directory: str) -> dict[str, Any] | None:
    """What is to be run; None while it is not there."""
    try:
        with open(os.path.join(directory, "request.json"), "rb") as file:
            request = json.load(file)
    except (OSError, ValueError):
        return None
    is_whole = isinstance(request, dict) and isinstance(request.get("command"), str) and "timeout_seconds" in request
    return request if is_whole else None


def become(argv: list[str], directory: str) -> NoReturn:
    """In the child: turn into the shim of a command, in a session of its own, knowing nothing of the attempt's."""
    began = time.time()
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        ours = os.environ.items()  # noqa: TID251  What the image and the step give to programs, not settings.
        environment = {name: value for name, value in ours if not name.startswith("COHORT_")}
        os.execve(argv[0], argv, environment)  # noqa: S606  To run what we are given is the task.
    except (OSError, ValueError) as error:
        times = {"started": began, "finished": time.time(), "bytes": 0}
        report = {"exit_code": 126, "signal": None, "reason": "start_failed", **times}
        with open(os.path.join(directory, "log"), "w") as log:
            log.write(f"cohort: the command could not be started: {error}\n")
        with open(os.path.join(directory, "exit.json"), "w") as file:
            file.write(json.dumps(report))
    finally:
        os._exit(126)


def complain(text: str) -> None:
    """Say what is wrong in the sandbox's log."""
    os.write(2, f"host: {text}\n".encode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
