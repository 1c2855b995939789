"""The scripted model over HTTP: a real process, a real client."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.scripted.conversations import write_playbook
from tests.scripted.server import ScriptedServer

NOTICE = "scripted playbook, not a language model"
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("bash", "read")]


def asked(model: str, goal: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": goal}], "tools": TOOLS, **more}


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    *lines, end = [line for line in response.text.split("\n\n") if line]
    assert end == "data: [DONE]"
    return (json.loads(line.removeprefix("data: ")) for line in lines)


def test_a_reply_has_text_parallel_calls_and_usage(server: ScriptedServer) -> None:
    body = server.post(asked("scripted/parallel", "a goal of some length")).json()

    message = body["choices"][0]["message"]
    assert [call["id"] for call in message["tool_calls"]] == ["call_0001_1", "call_0001_2"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"])["command"] == 'echo "left", ünïcode'
    assert message["content"].startswith("Two commands")
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    usage = body["usage"]
    assert usage["prompt_tokens"] == -(-(len(json.dumps(TOOLS)) + len("a goal of some length")) // 4)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert body["system_fingerprint"] == NOTICE
    assert body["model"] == "scripted/parallel"


def test_a_stream_says_the_same_in_many_deltas(server: ScriptedServer) -> None:
    whole = server.post(asked("parallel", "g")).json()["choices"][0]["message"]

    response = server.post(asked("parallel", "g", stream=True, stream_options={"include_usage": True}))

    chunks = list(events(response))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    texts = [delta["content"] for delta in deltas if delta.get("content")]
    parts = [part for delta in deltas for part in delta.get("tool_calls", ())]
    calls = [[part["function"]["arguments"] for part in parts if part["index"] == index] for index in (0, 1)]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert len(texts) > 3 and "".join(texts) == whole["content"]
    assert all(len(pieces) > 3 for pieces in calls)
    assert ["".join(pieces) for pieces in calls] == [c["function"]["arguments"] for c in whole["tool_calls"]]
    assert [chunk["usage"] is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1]["choices"] == []


def test_without_include_usage_a_stream_has_none(server: ScriptedServer) -> None:
    chunks = list(events(server.post(asked("parallel", "g", stream=True))))

    assert all("usage" not in chunk for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_conversation_before_the_last_reply_counts_as_cached(server: ScriptedServer) -> None:
    goal = "a goal of some length"
    first = server.post(asked("parallel", goal)).json()
    reply = first["choices"][0]["message"]
    answers = [{"role": "tool", "tool_call_id": c["id"], "content": "right is left"} for c in reply["tool_calls"]]
    messages = [{"role": "user", "content": goal}, reply, *answers]

    second = server.post({"model": "parallel", "messages": messages, "tools": TOOLS}).json()

    assert second["choices"][0]["message"]["content"] == "It is left."
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == first["usage"]["prompt_tokens"]
    assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"]


@pytest.mark.parametrize("model", ["parallel", "scripted/parallel", "openai/scripted/parallel"])
def test_the_playbook_is_what_follows_the_last_slash(server: ScriptedServer, model: str) -> None:
    assert server.post(asked(model, "g")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (asked("nobody", "g"), 404, "model_not_found"),
        ({"model": "parallel"}, 400, "invalid_body"),
        ({"model": "parallel", "messages": []}, 400, "invalid_body"),
        ({"model": "parallel", "messages": ["hello"]}, 400, "invalid_body"),
        ([], 400, "invalid_body"),
        (asked("parallel", "g") | {"tools": TOOLS[:1]}, 400, "playbook_does_not_fit"),
        ({"model": "parallel", "messages": [{"role": "tool", "tool_call_id": "x"}]}, 400, "invalid_messages"),
    ],
)
def test_a_request_that_cannot_be_answered_gets_an_error_of_the_apis(
    server: ScriptedServer, body: Any, status: int, code: str
) -> None:
    response = server.post(body)

    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"]


def test_it_says_everywhere_that_it_is_no_language_model(server: ScriptedServer) -> None:
    models = httpx.get(f"{server.url}/models").json()["data"]

    assert {model["owned_by"] for model in models} == {NOTICE}
    assert "scripted/parallel" in {model["id"] for model in models}


def test_requests_are_counted_and_summed_up(server: ScriptedServer) -> None:
    before = server.requests()["by_playbook"].get("parallel", 0)
    server.post(asked("scripted/parallel", "g"))

    after = server.requests()

    assert after["by_playbook"]["parallel"] == before + 1
    assert after["recent"][-1] == {
        "model": "scripted/parallel",
        "messages": 1,
        "tools": 2,
        "stream": False,
        "state": "both",
        "fault": "",
    }


def test_it_answers_when_asked_whether_it_lives(server: ScriptedServer) -> None:
    assert httpx.get(f"{server.root}/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_closed_connection_leaves_the_body_unfinished(server: ScriptedServer, stream: bool) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        server.post(asked("fault-close", f"close {stream}", stream=stream))


def test_a_stalled_stream_has_sent_something_before(server: ScriptedServer) -> None:
    address, body = f"{server.url}/chat/completions", asked("fault-stall", "stall", stream=True)
    received: list[bytes] = []

    with httpx.stream("POST", address, json=body, timeout=0.3) as response, pytest.raises(httpx.ReadTimeout):
        received.extend(response.iter_bytes())

    assert received[0].startswith(b"data: ")
    assert b"[DONE]" not in received[-1]


def test_a_delay_lies_between_the_deltas(tmp_path: Path) -> None:
    write_playbook(tmp_path, "about: a\nstart: one\nstates:\n  one: {say: eight characters at a time}\n")
    with ScriptedServer(tmp_path, "--delay-seconds", "0.05") as slow:
        begun = time.monotonic()
        chunks = list(events(slow.post(asked("sample", "g", stream=True))))

        assert time.monotonic() - begun >= 0.05 * len(chunks)


def test_an_unsound_playbook_ends_the_start_with_its_error(tmp_path: Path) -> None:
    write_playbook(tmp_path, "about: a\nstart: one\nstates:\n  one: {says: hi}\n")

    ended = subprocess.run(
        [sys.executable, "-m", "services.scripted", "--port", "0", "--playbooks", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert "sample/playbook.yaml: states.one.says: Extra inputs" in ended.stderr
