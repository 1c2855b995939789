"""`cohort pools`: what steps can run on, what is free there and what it costs."""

import sys
from argparse import Namespace

from services.cli.address import open_api
from services.cli.output import print_json, remark
from services.cli.pools import age_text, pool_lines, read_pools
from services.cli.terminal import look_of


def run(options: Namespace) -> int:
    """Print a table, or JSON as the API says it."""
    with open_api() as api:
        wire = api.get("/v1/pools")
    if options.json:
        print_json(wire)
        return 0
    pools = read_pools(wire)
    print("\n".join(pool_lines(pools, look_of(sys.stdout))))
    remark(age_text(pools))
    return 0
