"""`cohort tools list|run`: what the agent has at hand, for people to look at and to try. Needs no server."""

import sys
from argparse import Namespace
from typing import Any

from services.cli.home import home_at
from services.cli.output import print_json
from services.cli.problems import Usage
from services.core.settings import ClientSettings, WorkerSettings, load


def run(options: Namespace) -> int:
    """List the tools, or use one. Exit code 1 where the tool says that it failed."""
    try:
        # Slow, and not there where only the command line is installed.
        from services.worker import by_hand
        from services.worker.tools import TOOLS
    except ModuleNotFoundError as error:
        raise Usage(f"the tools need {error.name}: install Cohort with its extra `worker`") from error
    if options.action == "list":
        _list([_row(tool) for tool in TOOLS.values()], options.json)
        return 0
    tool = by_hand.tool_named(options.name)
    arguments = sys.stdin.read() if options.arguments == "-" else options.arguments
    home = home_at(load(ClientSettings).home)
    result = by_hand.use(tool, arguments, load(WorkerSettings), home.path / "tools")
    if options.json:
        print_json({"text": result.text, "success": result.success, "data": result.data})
    else:
        print(result.text)
    return 0 if result.success else 1


def _row(tool: Any) -> dict[str, Any]:
    return {
        "name": tool.name,
        "source": tool.source,
        "effects": sorted(tool.effects),
        "replay": tool.replay,
        "needs_run": tool.is_of_a_run,
        "description": tool.description,
        "parameters": tool.schema["function"]["parameters"],
    }


def _list(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"items": rows})
        return
    for row in rows:
        needs = "  needs a run" if row["needs_run"] else ""
        print(f"{row['name']:22} {row['source']:10} {','.join(row['effects'])}{needs}")
        print(f"  {row['description']}")
        print(f"  {_asked(row['parameters'])}")


def _asked(parameters: dict[str, Any]) -> str:
    required = set(parameters.get("required", ()))
    return ", ".join(f"{name}{'' if name in required else '?'}" for name in parameters.get("properties", {}))
