"""`cohort events RUN [-f]`: what happened in a run, and what happens."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from services.cli.address import open_api
from services.cli.client import ApiClient, path_of
from services.cli.follow import read_event
from services.cli.output import print_json
from services.cli.problems import Bewildering
from services.cli.terminal import Terminal, look_of
from services.cli.view import View
from services.cli.watching import watch

_PAGE = 500


def run(options: Namespace) -> int:
    """Print the events; with -f the exit code is the run's."""
    with open_api() as api:
        if options.follow:
            return watch(api, options.run, options.after, options.json)
        view, terminal = View(look_of(sys.stdout)), Terminal(sys.stdout)
        for wire in _events(api, options.run, options.after):
            if options.json:
                print_json(wire)
            else:
                terminal.show(view.lines(_told(wire)))
    return 0


def _events(api: ApiClient, run_id: str, after: int) -> Iterator[dict[str, Any]]:
    while True:
        page = api.get(path_of("v1", "runs", run_id, "events"), {"after": after, "limit": _PAGE})
        yield from page["items"]
        if len(page["items"]) < _PAGE:
            return
        after = int(page["items"][-1]["seq"])


def _told(wire: dict[str, Any]) -> Any:
    try:
        return read_event(wire)
    except (KeyError, TypeError, ValueError) as error:
        raise Bewildering("the API lists what is no event of Cohort's; update cohort") from error
