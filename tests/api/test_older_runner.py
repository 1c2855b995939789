"""The runners of earlier releases are understood: what they said then is said again, and answered as it was."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.core.tokens import OLDEST_PROTOCOL, PROTOCOL
from tests.api.conftest import Api
from tests.api.conversing import PLACE, accept
from tests.runner.rig import ATTEMPT

CONVERSATIONS = sorted(PLACE.glob("*.json"))


def said_again(url: str, said: dict[str, Any]) -> httpx.Response:
    where = f"{url}{said['path']}" + (f"?{said['query']}" if said["query"] else "")
    body = base64.b64decode(said["body"])
    return httpx.request(said["method"], where, content=body, headers=said["headers"], timeout=30, trust_env=False)


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_a_recorded_runner_is_answered_as_it_was(api: Api, path: Path) -> None:
    accept(api.parts.store, api.parts.workspace)
    log = b""
    for said in json.loads(path.read_text()):
        response = said_again(api.server.url, said)
        what = f"{said['method']} {said['path']}: {response.text[:300]}"
        assert response.status_code == said["status"], what
        before = base64.b64decode(said["answer"])
        if response.headers.get("content-type") == "application/json":
            # More may be said than then, never less.
            assert json.loads(before).items() <= response.json().items(), what
        else:
            assert response.content == before, what
        if said["path"].endswith("/log"):
            log += base64.b64decode(said["body"])
    record = api.parts.attempts.record(ATTEMPT)
    assert record.finish is not None
    assert (record.finish.exit_code, record.log_complete, record.checkpoint_number) == (3, True, 1)
    assert b"".join(api.parts.logs.stream(ATTEMPT)) == log
    assert [file.path for file in api.parts.attempts.outputs(ATTEMPT)] == ["model.bin"]
    assert len(api.parts.attempts.metrics(ATTEMPT)) == 20


def test_every_protocol_that_is_understood_has_a_conversation() -> None:
    spoken = {
        json.loads(base64.b64decode(said["body"]))["protocol"]
        for path in CONVERSATIONS
        for said in json.loads(path.read_text())
        if said["path"].endswith("/claim")
    }
    assert spoken == set(range(OLDEST_PROTOCOL, PROTOCOL + 1))
