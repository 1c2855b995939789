"""Errors as RFC 9457 problem documents: one table from what went wrong to what the client is told.

`type` is stable and meant for programs, `detail` says what was wrong this time, `what_to_do` what helps. Of an error
that is not in the table the client learns nothing but that it happened.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from services.core.apikeys import BadKey, KeyNotFound
from services.core.artifacts import ArtifactDamaged, ArtifactNotFound, ArtifactStoreUnavailable
from services.core.attempts import AttemptOver, AttemptTaken
from services.core.errors import (
    BadRequest,
    CohortError,
    Conflict,
    NewerRecord,
    NotFound,
    RunNotFound,
    Stale,
    StepNotFound,
    StoreUnavailable,
)
from services.core.logs import WrongOffset
from services.core.tokens import BadToken, WrongProtocol
from services.core.trees import BadSnapshot, PathNotFound

MEDIA_TYPE = "application/problem+json"
_MAX_FIELD = 200
_MAX_TEXT = 2_000

log = structlog.get_logger()


class NoKey(CohortError):
    """The request carries no API key, or no attempt token."""


class Forbidden(CohortError):
    """The key is good and may not do this."""


class BadBody(CohortError):
    """The body is not what its content type says: not JSON, not a form, or cut off."""


class BadChecksum(CohortError):
    """The body's bytes are not the ones the sender summed up."""


class BodyTooLarge(CohortError):
    """The body has more bytes than this route takes."""


class WrongMediaType(CohortError):
    """The body's content type is not one this route reads."""


class BadDigest(CohortError):
    """What is stored of a log is not what the runner says it sent: send again from `expected`."""

    def __init__(self, message: str, expected: int) -> None:
        super().__init__(message)
        self.expected = expected


class KeyReused(Conflict):
    """The idempotency key belongs to another request."""


class BadField(BadRequest):
    """A field of the body breaks a written rule."""


class BadFields(CohortError):
    """Fields of the body break written rules: (field, what is wrong) of each."""

    def __init__(self, complaints: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {text}" if field else text for field, text in complaints[:5]))
        self.complaints = complaints


class NotReady(CohortError):
    """This process cannot do its work now."""


class FieldProblem(BaseModel):
    """One field that breaks a rule."""

    field: str
    detail: str


class Problem(BaseModel):
    """RFC 9457: what went wrong and what to do."""

    type: str = Field(description="A stable name for programs.", examples=["urn:cohort:problem:run-not-found"])
    title: str = Field(examples=["No such run"])
    status: int = Field(examples=[404])
    detail: str = Field("", examples=["there is no run rk3v9x2m4q8aa"])
    field: str | None = Field(None, description="The input that is at fault, as the caller wrote it.")
    what_to_do: str | None = Field(None, examples=["Check the id; runs of other tenants are not shown."])
    errors: list[FieldProblem] | None = Field(None, description="Every field that breaks a rule.")
    expected_offset: int | None = Field(None, description="Runner only: where to send the log from.")


@dataclass(frozen=True)
class Kind:
    """A row of the table. A `quiet` one keeps the error's own words from the client."""

    status: int
    name: str
    title: str
    what_to_do: str = ""
    headers: Mapping[str, str] | None = None
    quiet: bool = False


_AUTHENTICATE = {"WWW-Authenticate": "Bearer"}
_SOON = {"Retry-After": "1"}
_LATER = {"Retry-After": "5"}

# Looked up along the error's classes, so the nearest row counts.
KINDS: Mapping[type[Exception], Kind] = {
    NoKey: Kind(401, "no-key", "No credential", "Send `Authorization: Bearer <API key>`.", _AUTHENTICATE),
    BadKey: Kind(401, "bad-key", "Unknown API key", "Use a key that has not been revoked.", _AUTHENTICATE),
    BadToken: Kind(
        401, "bad-token", "Bad attempt token", "Use the token this attempt was started with.", _AUTHENTICATE
    ),
    WrongProtocol: Kind(
        400, "wrong-protocol", "Another version of the runner's protocol", "Use a runner of a version that is named."
    ),
    Forbidden: Kind(403, "missing-scope", "The key may not do this", "Use a key with the scope that is named."),
    RunNotFound: Kind(404, "run-not-found", "No such run", "Check the id; runs of other tenants are not shown."),
    StepNotFound: Kind(404, "step-not-found", "No such step", "List the run's steps to see their names and attempts."),
    ArtifactNotFound: Kind(
        404, "artifact-not-found", "No such artifact", "List the run's artifacts to see their paths."
    ),
    PathNotFound: Kind(404, "file-not-found", "No such file", "List the workspace to see its paths."),
    BadSnapshot: Kind(404, "snapshot-not-found", "No such snapshot", "Name a snapshot of this run's events."),
    KeyNotFound: Kind(404, "key-not-found", "No such key", "List the keys to see their ids."),
    NotFound: Kind(404, "not-found", "Not found"),
    KeyReused: Kind(422, "idempotency-key-reused", "Idempotency key reused", "Use a new key for a new goal."),
    Conflict: Kind(409, "conflict", "Not possible now", "Look at the run's status."),
    BadField: Kind(422, "invalid-body", "The body breaks a rule", "Mend the field that is named."),
    BadFields: Kind(422, "invalid-body", "The body breaks a rule", "Mend the fields that are named."),
    BadRequest: Kind(400, "invalid-parameter", "A parameter breaks a rule", "Mend what is named."),
    BadBody: Kind(400, "bad-body", "The body cannot be read", "Send what the content type says, whole."),
    BadChecksum: Kind(400, "bad-checksum", "The body arrived damaged", "Send it again."),
    BodyTooLarge: Kind(413, "too-large", "The body is too large", "Send less at a time."),
    WrongMediaType: Kind(415, "wrong-media-type", "Unknown content type", "Send the content type that is named."),
    WrongOffset: Kind(409, "wrong-offset", "Not the end of the log", "Go on from `expected_offset`."),
    BadDigest: Kind(409, "bad-digest", "The log is not what was sent", "Send it again from `expected_offset`."),
    AttemptTaken: Kind(409, "attempt-taken", "Claimed by another", "Exit without running the program."),
    AttemptOver: Kind(410, "attempt-over", "The attempt is over", "Stop; nothing more of it is taken."),
    Stale: Kind(503, "busy", "Too many writers at once", "Repeat the request.", _SOON),
    NewerRecord: Kind(
        503,
        "newer-record",
        "Written by a newer version",
        "Repeat the request: replicas of the newer version answer it, the others until the upgrade is over do not.",
        _SOON,
    ),
    StoreUnavailable: Kind(
        503, "store-unavailable", "The store does not answer", "Repeat the request; nothing is done twice.", _SOON, True
    ),
    ArtifactStoreUnavailable: Kind(
        503, "artifacts-unavailable", "The artifact store does not answer", "Repeat the request.", _LATER, True
    ),
    ArtifactDamaged: Kind(
        500, "artifact-damaged", "An artifact is damaged", "Tell whoever runs this Cohort.", None, True
    ),
    NotReady: Kind(503, "not-ready", "Not ready", "Ask another replica, or wait.", _SOON),
    ClientDisconnect: Kind(400, "bad-body", "The body cannot be read", "Send it whole.", None, True),
}
_INTERNAL = Kind(500, "internal", "An error of ours", "Repeat the request; tell whoever runs this Cohort if it stays.")
_HTTP = {
    404: Kind(404, "not-found", "Not found", "See /openapi.json for what there is."),
    405: Kind(405, "method-not-allowed", "Method not allowed", "See the header Allow."),
}


def kind_of(error: Exception) -> Kind:
    """The row for an error; an error of ours that nobody foresaw has none of its own."""
    return next((KINDS[base] for base in type(error).__mro__ if base in KINDS), _INTERNAL)


def problem(error: Exception) -> Response:
    """The answer to an error. One that is not in the table says nothing of itself."""
    kind = kind_of(error)
    detail = "" if kind.quiet or kind is _INTERNAL else str(error)
    extra: dict[str, Any] = {}
    if isinstance(error, BadRequest) and error.field:
        extra["field"] = error.field
    if isinstance(error, BadFields):
        extra = {"field": error.complaints[0][0] or None, "errors": _listed(error.complaints)}
    if isinstance(error, WrongOffset | BadDigest):
        extra["expected_offset"] = error.expected
    return _document(kind, detail, **extra)


def install(app: FastAPI) -> None:
    """Answer the errors in the table, and FastAPI's own, with problem documents."""

    async def answer(request: Request, error: Exception) -> Response:
        kind = kind_of(error)
        if kind.status >= 500:
            log.warning("request_failed", path=request.url.path, status=kind.status, error=str(error))
        return problem(error)

    async def invalid(_: Request, error: Exception) -> Response:
        return _invalid(error) if isinstance(error, RequestValidationError) else problem(error)

    async def refused(_: Request, error: Exception) -> Response:
        return _refused(error) if isinstance(error, HTTPException) else problem(error)

    for kind in KINDS:
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)


def complaints(errors: list[Any]) -> list[tuple[str, str]]:
    """pydantic's errors as (field, what is wrong), without what the caller sent."""
    return [(".".join(str(part) for part in error["loc"]), str(error["msg"])) for error in errors]


def _invalid(error: RequestValidationError) -> Response:
    """FastAPI's own checks: they see the path, the query and the headers. Bodies are read in `bodies`."""
    errors = list(error.errors())
    if any(item["loc"][0] == "path" for item in errors):
        # What cannot be an id is the id of nothing.
        return _document(_HTTP[404], "there is nothing at this path")
    found = [(field.partition(".")[2], text) for field, text in complaints(errors)]
    detail = "; ".join(f"{field}: {text}" for field, text in found[:5])
    return _document(KINDS[BadRequest], detail, field=found[0][0], errors=_listed(found))


def _refused(error: HTTPException) -> Response:
    status = error.status_code
    kind = _HTTP.get(status) or Kind(status, f"http-{status}", HTTPStatus(status).phrase)
    return _document(kind, "" if status in _HTTP else str(error.detail), headers=error.headers)


def _listed(found: list[tuple[str, str]]) -> list[FieldProblem]:
    return [FieldProblem(field=_plain(field, _MAX_FIELD), detail=_plain(text, _MAX_TEXT)) for field, text in found[:20]]


def _document(kind: Kind, detail: str, headers: Mapping[str, str] | None = None, **extra: Any) -> Response:
    values: dict[str, Any] = {
        "type": f"urn:cohort:problem:{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": _plain(detail, _MAX_TEXT),
        "what_to_do": kind.what_to_do or None,
        **extra,
    }
    if values.get("field"):
        values["field"] = _plain(values["field"], _MAX_FIELD)
    body = Problem.model_validate(values).model_dump(mode="json", exclude_none=True)
    text = json.dumps(body, ensure_ascii=False)
    return Response(text, kind.status, {**(kind.headers or {}), **(headers or {})}, MEDIA_TYPE)


def _plain(text: str, length: int) -> str:
    """Text that may quote the caller: bounded, and without the lone surrogates that no encoder takes."""
    return text.encode("utf-8", "replace").decode()[:length]
