"""`cohort admin ACTION`: looking after an install, on its Redis and its artifact store."""

from argparse import Namespace
from importlib import import_module
from typing import Protocol, cast


class _Action(Protocol):
    def run(self, options: Namespace) -> int: ...


def run(options: Namespace) -> int:
    """Do the action."""
    return cast(_Action, import_module(f"services.cli.admin.{options.action}")).run(options)
