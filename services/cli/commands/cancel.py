"""`cohort cancel RUN`: end a run."""

from argparse import Namespace

from services.cli.address import open_api
from services.cli.client import path_of
from services.cli.output import remark


def run(options: Namespace) -> int:
    """Ask for the end; the run is over when its programs are gone."""
    body = {"why": options.why} if options.why else {}
    with open_api() as api:
        api.post(path_of("v1", "runs", options.run, "cancel"), body)
    remark(f"{options.run} is asked to end; wait for it with: cohort events {options.run} -f")
    return 0
