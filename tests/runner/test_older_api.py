"""A sidecar that is newer than the API: what the API does not know costs that one thing.

The claim, the log, the outputs and the end are what every version of the protocol has."""

import sys
from collections import deque

import pytest
from starlette.responses import JSONResponse, Response

from tests.runner.rig import Rig

PROGRAM = """
import os, time
print("metric loss=0.5")
open(os.environ["OUT"] + "/model.bin", "w").write("model")
open(os.environ["CHECKPOINT"] + "/step-1", "w").write("state")
time.sleep(0.6)
print("done")
"""


class Always(deque[Response]):
    """The same answer to every call."""

    def popleft(self) -> Response:
        return self[0]


@pytest.mark.parametrize("kind", ["observations", "heartbeat", "checkpoint", "objects", "version"])
@pytest.mark.parametrize("status", [404, 405])
def test_what_an_older_api_does_not_know_costs_that_one_thing(rig: Rig, kind: str, status: int) -> None:
    rig.ingest.instead[kind] = Always([JSONResponse({"title": "there is nothing at this path"}, status)])
    places = {"PATH": "/usr/bin:/bin", "OUT": str(rig.out), "CHECKPOINT": str(rig.checkpoint)}
    rig.shim(sys.executable, "-c", PROGRAM, claimed=None, env=places)
    assert rig.sidecar().wait(timeout=60) == 0
    assert bytes(rig.kept.log) == b"metric loss=0.5\ndone\n"
    assert (rig.kept.accepted["exit_code"], rig.kept.accepted["reason"]) == (0, "exited")
    assert rig.kept.outputs == {"model.bin": b"model"}
