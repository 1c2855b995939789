"""`cohort admin keys`: API keys of any tenant, straight in Redis. (`cohort keys` makes those of its own tenant.)"""

from argparse import Namespace

from services.cli.admin.place import opened
from services.cli.output import print_json, remark
from services.cli.plain import one_line
from services.core.apikeys import ApiKeys, KeyRecord, Scope

_DEFAULT_SCOPES = (Scope.SUBMIT, Scope.READ, Scope.CANCEL)


def run(options: Namespace) -> int:
    """Create, list or revoke."""
    with opened() as install:
        keys = ApiKeys(install.client)
        match options.deed:
            case "create":
                _create(keys, options)
            case "list":
                _list(keys, options)
            case _:
                keys.revoke(options.id)
                remark(f"{options.id} is revoked")
    return 0


def _create(keys: ApiKeys, options: Namespace) -> None:
    scopes = tuple(Scope(name) for name in options.scope or _DEFAULT_SCOPES)
    record, secret = keys.create(options.tenant, scopes, options.name)
    if options.json:
        print_json({**record.model_dump(mode="json"), "secret": secret})
        return
    print(secret)
    remark("this is the only time the key is shown; clients take it from COHORT_KEY")


def _list(keys: ApiKeys, options: Namespace) -> None:
    records = keys.list(options.tenant)
    if options.json:
        print_json({"items": [record.model_dump(mode="json") for record in records]})
        return
    for record in records:
        print(line_of(record))


def line_of(record: KeyRecord) -> str:
    """A key for a person."""
    revoked = "  revoked" if record.revoked else ""
    return f"{record.id}  {record.tenant}  {','.join(record.scopes)}  {one_line(record.name, 60)}{revoked}"
