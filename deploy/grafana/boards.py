"""All dashboards, and the JSON that is kept of them."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import control_plane, failures, fleet, llms, pools, run

DIRECTORY = Path(__file__).parents[1] / "helm" / "cohort" / "files" / "dashboards"
BOARDS = (fleet, run, pools, failures, control_plane, llms)


def files() -> dict[str, str]:
    """The text of each dashboard's file, by its name."""
    return {
        f"{board.uid}.json": json.dumps(board.built(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
        for board in (part.board() for part in BOARDS)
    }
