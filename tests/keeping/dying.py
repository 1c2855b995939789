"""Work that is killed after so many lines of the modules it is about, in a process of its own."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any


def dies_after(lines: int, modules: tuple[ModuleType, ...], work: Callable[[], object]) -> bool:
    """Do `work` in a child that gets SIGKILL once so many lines of `modules` have begun. False: it came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _traced(lines, {str(module.__file__) for module in modules}, work)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the work failed"
    return os.WIFSIGNALED(status)


def _traced(lines: int, files: set[str], work: Callable[[], object]) -> None:
    left = lines

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
