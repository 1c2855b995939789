"""Where the services' processes come from: a process that has imported everything, and forks.

Importing what a worker needs takes seconds; the crash tests start hundreds of them. A fork of a process that has done
it, and has neither threads nor connections, is as good as a fresh one. It reads requests from stdin, one JSON object a
line (`service`, `directory`, `log`, `environment`), and answers each with the pid. Its children die with it.
"""

import ctypes
import gc
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn, Self

from tests.crash import faulty
from tests.servers import bound_to_us

_PR_SET_PDEATHSIG = 1
# The services, and what they would import as they go.
_MODULES = (
    "services.api.__main__",
    "services.worker.__main__",
    "services.worker.controller.__main__",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.fixups.django",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.control",
    "httpcore",
    "kombu.transport.redis",
    "litellm.litellm_core_utils.default_encoding",
    "openai.resources.beta",
    "openai.resources.chat",
)


class Nursery:
    """The process, from `with` to its end."""

    def __enter__(self) -> Self:
        command = bound_to_us([sys.executable, "-m", "tests.crash.nursery"])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def bear(self, service: str, directory: Path, log: Path, environment: dict[str, str]) -> int:
        """Start a service over the plan in `directory`; returns its pid."""
        request = {"service": service, "directory": str(directory), "log": str(log), "environment": environment}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        assert line, "the nursery has died"
        return line


def main() -> None:
    """Import, then fork as asked until stdin ends."""
    _import_everything()
    assert threading.active_count() == 1, f"a fork would lose {threading.enumerate()}"
    # Nobody waits for the children: the kernel may forget them at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _say("ready")
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(request)
        _say(pid)


def _import_everything() -> None:
    # What litellm would otherwise fetch, it fetches on a thread.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    for name in _MODULES:
        importlib.import_module(name)
    # What is here stays: no fork need ever look at it, let alone copy it, to find what is garbage.
    gc.collect()
    gc.freeze()


def _say(text: str | int) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _become(request: dict[str, Any]) -> NoReturn:
    """In the child: turn into a service of its own session, with the environment and the log asked for."""
    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(request["environment"])
        random.seed()
        code = faulty.run(request["service"], Path(request["directory"]))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - the process's edge: what is wrong goes to its log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
