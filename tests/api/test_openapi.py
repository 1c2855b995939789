import json
import re
from typing import Any

import httpx
import pytest

from tests.api.conftest import Api


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    response = httpx.get(f"{api.server.url}/openapi.json", trust_env=False)
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def resolved(document: dict[str, Any], value: object) -> str:
    """The value as JSON, with the schemas it refers to behind it."""
    text, seen = json.dumps(value), set()
    while missing := set(re.findall(r"#/components/schemas/(\w+)", text)) - seen:
        seen |= missing
        text += json.dumps([document["components"]["schemas"][name] for name in missing])
    return text


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for name in re.findall(r"#/components/schemas/(\w+)", json.dumps(document)):
        assert name in document["components"]["schemas"]


def test_every_route_has_an_example_a_description_and_its_problems(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        problems = {
            status: operation["responses"].pop(status) for status in list(operation["responses"]) if status > "3"
        }
        assert "default" in problems and "503" in problems, name
        assert operation["description"], name
        if name != "GET /metrics":
            assert '"example' in resolved(document, operation), name


def test_every_route_below_v1_wants_a_key_and_the_runners_wants_a_token(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        path = name.split()[1]
        wanted = {"v1": [{"ApiKey": []}], "internal": [{"AttemptToken": []}]}.get(path.split("/")[1])
        assert operation.get("security") == wanted, name


def test_every_string_that_comes_in_is_bounded(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            text = json.dumps(parameter["schema"])
            if '"type": "string"' in text:
                assert any(word in text for word in ("pattern", "maxLength", "enum", "#/components")), (name, parameter)
