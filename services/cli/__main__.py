"""The command `cohort`. Every error ends as one line on stderr and an exit code (see `problems`)."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from services.cli.arguments import parser


class Command(Protocol):
    """What a module of `commands` has."""

    def run(self, options: Namespace) -> int:
        """Do it; the answer is the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; argparse itself exits with 2 on what it doesn't understand."""
    for stream in (sys.stdout, sys.stderr):
        # In a locale without UTF-8 a `?` is better than an error halfway through.
        cast("_Reconfigurable", stream).reconfigure(errors="replace")
    options = parser().parse_args(arguments)
    try:
        code = _run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough (`| head`). Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    return code


def _run(options: Namespace) -> int:
    # Slow imports behind their door: each command brings its own libraries, and `--help` none of them.
    command = cast(Command, import_module(f"services.cli.commands.{options.command}"))
    from services.cli.plain import one_line
    from services.cli.problems import INFRASTRUCTURE, INTERRUPTED, USAGE, exit_code_of
    from services.core.errors import CohortError

    try:
        return command.run(options)
    except CohortError as error:
        return _say(one_line(str(error), 2000), exit_code_of(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _say(one_line(f"{error.strerror or error}{where}", 500), USAGE if error.filename else INFRASTRUCTURE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001, the process's edge
        return _say(_recorded(error), INFRASTRUCTURE)


def _say(text: str, code: int) -> int:
    print(f"cohort: {text}", file=sys.stderr)
    return code


def _recorded(error: Exception) -> str:
    """Write a bug's traceback to a file, and say where it is."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="cohort-", suffix=".traceback", delete=False) as file:
        traceback.print_exception(error, file=file)
    return f"this is a bug in Cohort ({type(error).__name__}); please report it with {file.name}"


class _Reconfigurable(Protocol):
    def reconfigure(self, *, errors: str) -> None: ...


if __name__ == "__main__":
    sys.exit(main())
