"""`cohort why RUN`: where a run is, why, and what would change it next, in one paragraph."""

import sys
import textwrap
from argparse import Namespace

from services.cli.address import open_api
from services.cli.client import path_of
from services.cli.output import print_json
from services.cli.plain import plain
from services.cli.problems import Bewildering
from services.cli.terminal import look_of


def run(options: Namespace) -> int:
    """Print the paragraph."""
    with open_api() as api:
        wire = api.get(path_of("v1", "runs", options.run, "why"))
    if options.json:
        print_json(wire)
        return 0
    text = wire.get("text")
    if not isinstance(text, str):
        raise Bewildering("the API explains the run in a way this version does not know; update cohort")
    print(textwrap.fill(plain(text), min(look_of(sys.stdout).width, 100)))
    return 0
