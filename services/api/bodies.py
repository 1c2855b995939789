"""Reading request bodies: never more than the limit, and never before the caller is known.

FastAPI would parse a body before it asks who sends it, so routes read theirs through dependencies of this module,
named after the one that authenticates.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from services.api.problems import BadBody, BadFields, BodyTooLarge, WrongMediaType, complaints

M = TypeVar("M", bound=BaseModel)


class Input(BaseModel):
    """A body. What it does not know is an error, so that a misspelt field never means its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


async def chunks(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises `BodyTooLarge` beyond `limit` bytes, at once where the length is announced."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge(f"the body has {announced} bytes; at most {limit} are taken here")
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(f"the body has more than {limit} bytes")
        yield chunk


async def whole(request: Request, limit: int) -> bytes:
    """All of the body. Raises `BodyTooLarge`."""
    return b"".join([chunk async for chunk in chunks(request, limit)])


def media_type(request: Request) -> str:
    """The body's content type without its parameters, in lower case; '' if none is said."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_json(request: Request) -> None:
    """Raises `WrongMediaType` unless the body is said to be JSON, or nothing is said."""
    said = media_type(request)
    if said not in ("", "application/json") and not (said.startswith("application/") and said.endswith("+json")):
        raise WrongMediaType(f"the body is {said[:100]!r}; this route reads application/json")


def parse(kind: type[M], data: bytes | str, *, strict: bool = True) -> M:
    """The typed body. Raises `BadBody` for what is no JSON, `BadFields` for JSON that breaks a rule."""
    try:
        return kind.model_validate_json(data, strict=strict)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise BadBody(f"the body is not JSON: {errors[0]['msg']}") from error
        raise BadFields(complaints(list(errors))) from error


def json_body(kind: type[M], *, optional: bool = False, strict: bool = True) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads a JSON body of this kind. With `optional`, no body at all is an empty one.

    `strict` takes no string for a number; people are told, the runner is believed.
    """

    async def read(request: Request) -> M:
        check_json(request)
        data = await whole(request, request.app.state.parts.bounds.json_bytes)
        return parse(kind, data or b"{}" if optional else data, strict=strict)

    return read


def takes(kind: type[BaseModel], example: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """What the OpenAPI document says of a route that reads a JSON body of this kind (see `openapi`)."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}, "example": example}}
    return {"requestBody": {"required": required, "content": content}}
