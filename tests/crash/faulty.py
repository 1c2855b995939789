"""A service with the faults of a plan in it: `python -m tests.crash.faulty SERVICE DIRECTORY`.

The service itself is the product's own `main`. In the controller, what the local executor starts as a sidecar is this
program again, so that the runner has its faults too.
"""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from services.core import faults
from tests.crash.plan import Plan

_HEARTBEAT_SECONDS = 0.2


def main() -> int:
    service, directory = sys.argv[1:3]
    return run(service, Path(directory))


def run(service: str, directory: Path) -> int:
    """Be `service` until it ends; returns its exit code."""
    faults.install(Plan(directory).hook(service.partition("-")[0]))
    return _entry(service, directory)()


def _entry(service: str, directory: Path) -> Callable[[], int]:
    # Imported one by one, because the runner must not need what the others do.
    match service.partition("-")[0]:
        case "api":
            from services.api.__main__ import main as serve
        case "worker":
            from services.worker.__main__ import main as serve
        case "controller":
            from services.worker.controller.__main__ import main as serve

            sys.executable = str(_interpreter(directory))
        case "runner":
            from services.runner.__main__ import main as serve
        case _:
            raise AssertionError(f"there is no service {service}")
    return serve


def _interpreter(directory: Path) -> Path:
    """A "Python" that starts a faulty sidecar where a sidecar is asked for."""
    python, place = shlex.quote(sys.executable), shlex.quote(str(directory))
    script = directory / "python"
    if not script.exists():
        scratch = directory / "python.tmp"
        scratch.write_text(
            "#!/bin/sh\n"
            'case "$*" in\n'
            f'  "-P -m services.runner") exec env COHORT_HEARTBEAT_SECONDS={_HEARTBEAT_SECONDS}'
            f" {python} -P -m tests.crash.faulty runner {place} ;;\n"
            f'  *) exec {python} "$@" ;;\n'
            "esac\n"
        )
        scratch.chmod(0o755)
        scratch.rename(script)
    return script


if __name__ == "__main__":
    sys.exit(main())
