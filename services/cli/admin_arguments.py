"""What can be typed after `cohort admin`. Like `arguments`, it imports argparse alone."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

SCOPES = ("submit", "read", "cancel", "admin")

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
    for action in (_verify, _prune, _restore, _keys, _tenants, _cap):
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


def _keys(actions: Any) -> None:
    keys = actions.add_parser("keys", help="make, list and revoke API keys of any tenant")
    inner = keys.add_subparsers(dest="deed", metavar="create|list|revoke", required=True)
    create = inner.add_parser("create", help="make a key; its secret is shown once, on stdout")
    create.add_argument("name", help="what it is for")
    create.add_argument("--tenant", required=True, help="whose it is; a tenant begins with its first key")
    create.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        help="what it may do; may be repeated (default: submit, read and cancel)",
    )
    json(create)
    every = inner.add_parser("list", help="list keys, without their secrets")
    every.add_argument("--tenant", help="only this tenant's")
    json(every)
    inner.add_parser("revoke", help="make a key useless").add_argument("id", help="the key's id")


def _tenants(actions: Any) -> None:
    json(actions.add_parser("tenants", help="what every tenant has spent, holds and may spend"))


def _cap(actions: Any) -> None:
    cap = actions.add_parser("cap", help="bound what a tenant may spend in all, or lift the bound")
    cap.add_argument("tenant", help="whose")
    bound = cap.add_mutually_exclusive_group(required=True)
    bound.add_argument("--dollars", type=float, metavar="N", help="in all, what is spent already included")
    bound.add_argument("--lift", action="store_true", help="no bound")


_UNITS = {"m": 60.0, "h": 3_600.0, "d": 86_400.0}


def _age(text: str) -> float:
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no age; write it like 30d, 12h or 90m")
    return int(found[1]) * _UNITS[found[2]]


def json(command: ArgumentParser) -> None:
    """The option that all commands for programs have."""
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
