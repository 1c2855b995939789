"""What can be typed after `cohort admin`. Like `arguments`, it imports argparse alone."""

from argparse import ArgumentParser
from typing import Any

_DESCRIPTION = """\
Look after an install. These commands work on Redis and the artifact store themselves, not on the API: run them where
COHORT_REDIS_URL and COHORT_ARTIFACT_URL are set (`kubectl exec deploy/cohort-api -- cohort admin …`), or beside a
running `cohort up`.
"""


def add(commands: Any) -> None:
    """Add `admin` to the commands."""
    command: ArgumentParser = commands.add_parser(
        "admin", help="look after an install: verify, prune, restore, keys of all tenants", description=_DESCRIPTION
    )
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action in (_verify,):
        action(actions)


def _verify(actions: Any) -> None:
    verify = actions.add_parser(
        "verify",
        help="say whether the store is sound, and what to do where it is not",
        description="Look at every run, index, account and object, and say what is wrong. Changes nothing, and may run "
        "beside a working install. Exit code 1 where something was found.",
    )
    verify.add_argument("--deep", action="store_true", help="read every object and compare its hash, not 1 in 100")
    verify.add_argument(
        "--repair",
        action="store_true",
        help="afterwards, make again what follows from the runs' logs: snapshots, statuses, indexes",
    )
    json(verify)


def json(command: ArgumentParser) -> None:
    """The option that all commands for programs have."""
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
