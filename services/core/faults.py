"""Named points at persisted boundaries, where the crash tests kill the process.

Production code only names the boundary; nothing in the product can arm one. The crash tests start the services through
a program of their own that calls `install` first.
"""

from collections.abc import Callable

_hooks: list[Callable[[str], None]] = []


def install(hook: Callable[[str], None]) -> None:
    """Call `hook(name)` at every boundary of this process from now on."""
    _hooks.append(hook)


def reach(name: str) -> None:
    """Say that the boundary `name` (`service.what_just_happened`) has been reached."""
    for hook in _hooks:
        hook(name)
