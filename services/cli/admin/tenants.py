"""`cohort admin tenants`: what every tenant has spent, holds and may spend."""

from argparse import Namespace

from services.cli.admin.place import opened
from services.cli.output import print_json, remark
from services.core.apikeys import ApiKeys
from services.core.records import MICRODOLLARS
from services.keeping.install import Install
from services.keeping.keyspace import walk


def run(options: Namespace) -> int:
    """List the tenants that have a key or an account."""
    with opened() as install:
        rows = [_row(install, tenant) for tenant in sorted(_tenants(install))]
    if options.json:
        print_json({"items": rows})
        return 0
    for row in rows:
        cap = "no cap" if row["cap_dollars"] is None else f"cap ${row['cap_dollars']:.2f}"
        spent, held = row["spent_dollars"], row["reserved_dollars"]
        print(f"{row['tenant']}  spent ${spent:.2f}  held ${held:.2f}  {cap}  {row['keys']} key(s)")
    if not rows:
        remark("no tenant has a key or an account yet")
    return 0


def _tenants(install: Install) -> set[str]:
    accounts = {key.owner for key in walk(install.client, "{t:*")}
    return accounts | {record.tenant for record in ApiKeys(install.client).list()}


def _row(install: Install, tenant: str) -> dict[str, object]:
    spent, reserved, cap = install.ledger.account(tenant)
    keys = [record for record in ApiKeys(install.client).list(tenant) if record.revoked is None]
    return {
        "tenant": tenant,
        "spent_dollars": spent / MICRODOLLARS,
        "reserved_dollars": reserved / MICRODOLLARS,
        "cap_dollars": None if cap is None else cap / MICRODOLLARS,
        "keys": len(keys),
    }
