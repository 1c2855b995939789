"""`cohort runs`: list runs, the newest first."""

import sys
from argparse import Namespace
from typing import Any

from services.cli.address import open_api
from services.cli.client import ApiClient
from services.cli.goal import pair
from services.cli.output import print_json, remark
from services.cli.report import read_run, table_lines
from services.cli.terminal import look_of

_PAGE = 100


def run(options: Namespace) -> int:
    """Print a table, or JSON: {"items": [...]}."""
    filters: dict[str, Any] = {"status": options.status, "text": options.text}
    query = {name: value for name, value in filters.items() if value}
    if options.label:
        query["label"] = ["=".join(pair("--label", label)) for label in options.label]
    with open_api() as api:
        items, more = _listed(api, query, options.limit)
    if options.json:
        print_json({"items": items})
        return 0
    if not items:
        remark("no runs" if not query else "no runs like that")
        return 0
    print("\n".join(table_lines([read_run(item).state for item in items], look_of(sys.stdout))))
    if more:
        remark(f"there are older ones; --limit {options.limit * 5} shows more")
    return 0


def _listed(api: ApiClient, query: dict[str, Any], limit: int) -> tuple[list[dict[str, Any]], bool]:
    items: list[dict[str, Any]] = []
    cursor = ""
    while len(items) < limit:
        asked = query | {"limit": min(_PAGE, limit - len(items))} | ({"cursor": cursor} if cursor else {})
        page = api.get("/v1/runs", asked)
        items += page["items"]
        cursor = page.get("next_cursor") or ""
        if not cursor:
            break
    return items, bool(cursor)
