"""`cohort keys create|list|revoke`: API keys, through the API, with a key that has the scope admin."""

from argparse import Namespace

from services.cli.address import open_api
from services.cli.client import ApiClient, path_of
from services.cli.output import print_json, remark
from services.cli.plain import one_line

_DEFAULT_SCOPES = ["submit", "read", "cancel"]


def run(options: Namespace) -> int:
    """Create, list or revoke."""
    with open_api() as api:
        match options.action:
            case "create":
                _create(api, options)
            case "list":
                _list(api, options.json)
            case _:
                api.delete(path_of("v1", "keys", options.id))
                remark(f"{options.id} is revoked")
    return 0


def _create(api: ApiClient, options: Namespace) -> None:
    body = {"name": options.name, "scopes": options.scope or _DEFAULT_SCOPES}
    created = api.post("/v1/keys", body, repeat=False)
    if options.json:
        print_json(created)
        return
    print(created["secret"])
    remark("this is the only time the key is shown; clients take it from COHORT_KEY")


def _list(api: ApiClient, as_json: bool) -> None:
    document = api.get("/v1/keys")
    if as_json:
        print_json(document)
        return
    for key in document["items"]:
        revoked = "  revoked" if key.get("revoked") else ""
        scopes = ",".join(key["scopes"])
        print(f"{key['id']}  {one_line(key['tenant'], 40)}  {scopes}  {one_line(key['name'], 60)}{revoked}")
