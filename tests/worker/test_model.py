"""The door to the model without a call: which server a model's name means, and whose price it has."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from services.core.rules import Effort
from services.worker.failures import Failure, ModelFailed
from services.worker.model import Limits, LitellmModel, route
from services.worker.prices import FREE, Price

URL = "http://models.example/v1"


@pytest.mark.parametrize(
    ("model", "base_url", "api_key", "expected"),
    [
        ("anthropic/claude-x", "", "", {"model": "anthropic/claude-x"}),
        ("anthropic/claude-x", "", "k", {"model": "anthropic/claude-x", "api_key": "k"}),
        ("openai/gpt-x", "", "", {"model": "openai/gpt-x"}),
        ("openai/gpt-x", URL, "k", {"model": "openai/gpt-x", "api_base": URL, "api_key": "k"}),
        ("gpt-x", URL, "", {"model": "openai/gpt-x", "api_base": URL, "api_key": "none"}),
        ("ollama/qwen", "", "", {"model": "openai/qwen", "api_base": "http://127.0.0.1:11434/v1", "api_key": "none"}),
        ("vllm/org/name", URL, "k", {"model": "openai/org/name", "api_base": URL, "api_key": "k"}),
        ("scripted/hello", URL, "", {"model": "openai/scripted/hello", "api_base": URL, "api_key": "none"}),
    ],
)
def test_a_model_goes_where_its_name_says(model: str, base_url: str, api_key: str, expected: dict[str, str]) -> None:
    assert route(model, base_url, api_key) == expected


def test_a_scripted_model_without_an_address_is_refused() -> None:
    with pytest.raises(ModelFailed, match="COHORT_MODEL_BASE_URL") as refused:
        route("scripted/hello", "", "")

    assert refused.value.kind is Failure.REFUSED


def test_a_configured_price_is_everybodys() -> None:
    price = Price(1.0, 2.0, 0.5)

    assert LitellmModel(Limits(), price=price).price("who/knows") == price


@pytest.mark.parametrize(
    ("model", "is_known", "is_free"),
    [
        ("scripted/hello", True, True),
        ("ollama/qwen", True, True),
        ("openai/gpt-4o", True, False),
        ("anthropic/claude-sonnet-4-5", True, False),
        ("openai/nobody-has-heard-of-it", False, False),
    ],
)
def test_a_price_is_free_listed_or_unknown(model: str, is_known: bool, is_free: bool) -> None:
    price = LitellmModel(Limits()).price(model)

    assert (price is not None) is is_known
    assert (price == FREE) is is_free


class Refusing(BaseHTTPRequestHandler):
    """A provider that refuses everything, and remembers what it was asked."""

    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        body = json.dumps({"error": {"message": "no", "type": "invalid_request_error"}}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def refusing() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its address, and what it has been asked."""
    asked: list[dict[str, Any]] = []
    with HTTPServer(("127.0.0.1", 0), type("Handler", (Refusing,), {"asked": asked})) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
        server.shutdown()


@pytest.mark.parametrize("model", ["vllm/gpt-oss", "openai/gpt-4o", "scripted/hello"])
@pytest.mark.parametrize("effort", ["", "low"])
def test_the_effort_is_asked_for_whatever_is_known_of_the_model(
    refusing: tuple[str, list[dict[str, Any]]], model: str, effort: Effort
) -> None:
    url, asked = refusing

    with pytest.raises(ModelFailed) as failed:
        LitellmModel(Limits(), url, "k").ask(
            model, [{"role": "user", "content": "hi"}], [], lambda _: None, lambda: False, effort
        )

    assert failed.value.kind is Failure.REFUSED
    assert [body.get("reasoning_effort", "") for body in asked] == [effort]
    assert "allowed_openai_params" not in asked[0]
