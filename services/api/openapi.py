"""The OpenAPI document: what FastAPI finds by itself, the bodies that routes read on their own, and the problems."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from services.api.commands import CommandReport, IdleSidecar
from services.api.ingest import Claim, Heartbeat
from services.api.keys import KeyRequest
from services.api.messages import Message
from services.api.problems import MEDIA_TYPE, Problem
from services.api.runs import Cancellation
from services.api.submission import Submission
from services.core.manifest import Parcel
from services.core.observations import FinishReport, Observations

DESCRIPTION = """Goals in, models with their evidence out.

Every error is a problem document (RFC 9457) with a stable `type`. Every route below `/v1` wants an API key
(`Authorization: Bearer ck_…`) and knows only its tenant's runs."""
# What routes read by themselves, so that FastAPI does not know of it.
_RUNNERS = (Claim, Heartbeat, Observations, FinishReport, Parcel, IdleSidecar, CommandReport)
_BODIES = (Submission, Cancellation, Message, KeyRequest, *_RUNNERS)
_REF = "#/components/schemas/{model}"
_AUTHENTICATED = ("400", "401", "403", "404", "422", "503")
_SCHEMES = {
    "ApiKey": {"type": "http", "scheme": "bearer", "description": "An API key, `ck_…`."},
    "AttemptToken": {"type": "http", "scheme": "bearer", "description": "The token of one attempt."},
}
_SCHEME_BELOW = {"v1": "ApiKey", "internal": "AttemptToken"}
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
    _, described = models_json_schema([(model, "validation") for model in (*_BODIES, Problem)], ref_template=_REF)
    schemas.update(described["$defs"])
    whole["components"]["securitySchemes"] = _SCHEMES
    for path, operations in whole["paths"].items():
        scheme = _SCHEME_BELOW.get(path.split("/")[1])
        for operation in operations.values():
            if scheme is not None:
                operation["security"] = [{scheme: []}]
            _describe_errors(operation, is_open=scheme is None)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return whole


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
