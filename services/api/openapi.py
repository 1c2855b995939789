"""The OpenAPI document: what FastAPI finds by itself, the bodies that routes read on their own, and the problems."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from services.api.problems import MEDIA_TYPE, Problem

DESCRIPTION = """Goals in, models with their evidence out.

Every error is a problem document (RFC 9457) with a stable `type`. Every route below `/v1` wants an API key
(`Authorization: Bearer ck_…`) and knows only its tenant's runs."""
_REF = "#/components/schemas/{model}"
_AUTHENTICATED = ("400", "401", "403", "404", "422", "503")
_EXAMPLE = {
    "type": "urn:cohort:problem:run-not-found",
    "title": "No such run",
    "status": 404,
    "detail": "there is no run rk3v9x2m4q8aa",
    "what_to_do": "Check the id; runs of other tenants are not shown.",
}


def document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """A function that makes the document once it is asked for."""
    made: dict[str, Any] = {}

    def build() -> dict[str, Any]:
        if not made:
            made.update(_built(app))
        return made

    return build


def _built(app: FastAPI) -> dict[str, Any]:
    whole = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    schemas = whole["components"]["schemas"]
    bodies = [body for route in app.routes if isinstance(route, APIRoute) if (body := _body(route))]
    _, described = models_json_schema([(model, "validation") for model in [*bodies, Problem]], ref_template=_REF)
    schemas.update(described["$defs"])
    for path, operations in whole["paths"].items():
        for operation in operations.values():
            operation.pop("x-body-model", None)
            _describe_errors(operation, is_open=not path.startswith(("/v1", "/internal")))
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return whole


def _body(route: APIRoute) -> Any:
    return (route.openapi_extra or {}).get("x-body-model")


def _describe_errors(operation: dict[str, Any], *, is_open: bool) -> None:
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}, "example": _EXAMPLE}}
    responses = operation["responses"]
    responses.pop("422", None)
    statuses: tuple[str, ...] = ("503",) if is_open else _AUTHENTICATED
    if "requestBody" in operation:
        statuses += ("413", "415")
    for status in sorted(statuses):
        responses[status] = {"description": "A problem.", "content": content}
    responses["default"] = {"description": "Any other problem.", "content": content}
