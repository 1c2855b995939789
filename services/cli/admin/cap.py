"""`cohort admin cap TENANT`: what a tenant may spend in all."""

import math
from argparse import Namespace

from services.cli.admin.place import opened
from services.cli.output import remark
from services.cli.problems import Usage
from services.core.apikeys import TENANT
from services.core.records import MICRODOLLARS


def run(options: Namespace) -> int:
    """Set or lift the cap."""
    if not TENANT.fullmatch(options.tenant):
        raise Usage(f"{options.tenant!r} is no name of a tenant: 1 to 63 of a-z, 0-9 and '-'")
    if options.dollars is not None and not (math.isfinite(options.dollars) and options.dollars >= 0):
        raise Usage("--dollars takes an amount from 0 on")
    with opened() as install:
        install.ledger.set_cap(options.tenant, options.dollars)
        spent, reserved, cap = install.ledger.account(options.tenant)
    if cap is None:
        remark(f"{options.tenant} may spend without bound; it has spent ${spent / MICRODOLLARS:.2f}")
    else:
        left = max(0, cap - spent - reserved) / MICRODOLLARS
        remark(f"{options.tenant} may spend ${cap / MICRODOLLARS:.2f} in all, and has ${left:.2f} left")
    return 0
