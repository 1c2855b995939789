"""`cohort show RUN`: where a run stands."""

import sys
import time
from argparse import Namespace

from services.cli.address import open_api
from services.cli.client import path_of
from services.cli.output import print_json
from services.cli.report import dashboard_of, read_run, run_lines
from services.cli.terminal import look_of


def run(options: Namespace) -> int:
    """Print everything about one run."""
    with open_api() as api:
        wire = api.get(path_of("v1", "runs", options.run))
    if options.json:
        print_json(wire)
    else:
        view = read_run(wire)
        print("\n".join(run_lines(view.state, look_of(sys.stdout), time.time(), dashboard_of(view))))
    return 0
