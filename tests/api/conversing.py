"""Records what this version's runner says to the API: `python -m tests.api.conversing NAME`.

A real shim and a real sidecar run a small program; every request is written down as it came, with its answer, as
`recorded/NAME.json`. Later versions replay it: they have to understand the runner of this one.
"""

import base64
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.app import create_app
from services.core.keys import run_of_attempt
from services.core.store import RunStore
from services.core.tokens import issue
from services.core.workspace import EMPTY, Workspace
from services.runner.ship import AttemptClient, Halt
from tests.api.conftest import SECRET, parts_on
from tests.api.server import serving
from tests.core.examples import accepted
from tests.core.submitted import submit_attempt
from tests.runner.rig import ATTEMPT, Rig
from tests.servers import RedisServer

PLACE = Path(__file__).parent / "recorded"
FILES = {"train.py": b"print(1)\n", "data/a.csv": b"1,2\n"}
_HEADERS = {"authorization", "content-type", "x-crc32c", "x-sha256"}
_PROGRAM = """
import os, time
for step in range(20):
    print(f"step {step} loss={1 / (step + 1):.4f}", flush=True)
    if step == 5:
        open(os.environ["CHECKPOINT"] + "/step-5", "w").write("state " * 100)
    time.sleep(0.05)
os.write(1, os.urandom(70_000))
open(os.environ["OUT"] + "/model.bin", "w").write("model " * 1000)
time.sleep(0.6)
raise SystemExit(3)
"""


def accept(store: RunStore, workspace: Workspace) -> None:
    """The live attempt that the conversation is about."""
    run = run_of_attempt(ATTEMPT)
    snapshot = workspace.import_files(FILES)
    store.create(run, "request", accepted(snapshot=EMPTY))
    submit_attempt(store, "train", run, snapshot=snapshot)


class Recorder:
    """Notes requests to the runner's ingest, and their answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.said: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, answered, status = bytearray(), bytearray(), 0

        async def hear() -> Message:
            message = await receive()
            asked.extend(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            answered.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, hear, say)
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name.decode() in _HEADERS}
        self.said.append(
            {
                "method": scope["method"],
                "path": scope["raw_path"].decode(),
                "query": scope["query_string"].decode(),
                "headers": headers,
                "body": base64.b64encode(bytes(asked)).decode(),
                "status": status,
                "answer": base64.b64encode(bytes(answered)).decode(),
            }
        )


def main() -> None:
    target = PLACE / f"{sys.argv[1]}.json"
    if target.exists():
        raise SystemExit(f"{target} is there: what an earlier version has recorded stays")
    with tempfile.TemporaryDirectory() as place:
        server = RedisServer(Path(place) / "redis")
        server.start()
        parts = parts_on(server.url, Path(place) / "artifacts")
        accept(parts.store, parts.workspace)
        recorder = Recorder(create_app(parts))
        served = serving(recorder, parts.hub)  # type: ignore[arg-type]
        token = issue(SECRET, ATTEMPT, 4e9)
        _lay(served.url, token)
        rig = Rig(Path(place), SimpleNamespace(url=served.url))  # type: ignore[arg-type]
        places = {"PATH": "/usr/bin:/bin", "OUT": str(rig.out), "CHECKPOINT": str(rig.checkpoint)}
        rig.shim(sys.executable, "-c", _PROGRAM, claimed=None, env=places)
        assert rig.sidecar(token=token).wait(timeout=60) == 0
        served.stop()
        server.kill()
    PLACE.mkdir(exist_ok=True)
    target.write_text(json.dumps(recorder.said, indent=1) + "\n")


def _lay(url: str, token: str) -> None:
    """What the runner asks for before the program starts."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
        client = AttemptClient(http, ATTEMPT, Halt())
        digests = [file.sha256 for file in client.files().files]
        client.get_parcel(digests)
        client.get_blob(digests[0], lambda pieces: list(pieces) and None)


if __name__ == "__main__":
    main()
