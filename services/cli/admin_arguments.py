"""What can be typed after `cohort admin`. Like `arguments`, it imports argparse alone."""

import re
from argparse import ArgumentParser, ArgumentTypeError
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
    for action in (_verify, _prune, _restore):
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


def _prune(actions: Any) -> None:
    prune = actions.add_parser(
        "prune",
        help="let old runs leave Redis, and remove what nobody needs from the artifact store",
        description="Let runs that are over leave Redis; they are read from their archives afterwards. Remove old "
        "archives, and objects that nobody names. Safe beside a working install, and to repeat.",
    )
    prune.add_argument(
        "--runs-older-than", type=_age, metavar="AGE", help="runs archived so long ago leave Redis: 30d, 12h"
    )
    prune.add_argument(
        "--archives-older-than", type=_age, metavar="AGE", help="nothing is left of runs that ended so long ago"
    )
    prune.add_argument("--artifacts", action="store_true", help="remove objects that no run and no archive names")
    prune.add_argument(
        "--grace", type=_age, default=7 * 86_400.0, metavar="AGE", help="but none younger than this (7d; at least 2d)"
    )
    prune.add_argument("--dry-run", action="store_true", help="say how much it would be, and change nothing")
    json(prune)


def _restore(actions: Any) -> None:
    restore = actions.add_parser(
        "restore",
        help="bring archived runs back where Redis is lost, as history that can be read",
        description="Have Redis know again of runs that only the artifact store has. Runs that Redis has are not "
        "touched. See docs/backup.md.",
    )
    restore.add_argument("run", nargs="*", metavar="RUN", help="only these (default: every archived run)")
    restore.add_argument("--dry-run", action="store_true", help="say which, and change nothing")
    json(restore)


_UNITS = {"m": 60.0, "h": 3_600.0, "d": 86_400.0}


def _age(text: str) -> float:
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no age; write it like 30d, 12h or 90m")
    return int(found[1]) * _UNITS[found[2]]


def json(command: ArgumentParser) -> None:
    """The option that all commands for programs have."""
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
