"""API keys: made, listed and revoked by whoever has the scope admin, within their own tenant."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field, StringConstraints
from starlette.responses import Response

from services.api.auth import Admin, Anyone
from services.api.bodies import Input, json_body, takes
from services.api.parts import Uses
from services.api.problems import Forbidden
from services.api.views import KeyList, KeyView, NewKey, answer
from services.core.apikeys import MAX_NAME, Scope

router = APIRouter(prefix="/v1", tags=["keys"])

KeyId = Annotated[str, Path(pattern=r"^[0-9a-z]{12}$", description="A key's id.", examples=["7f3k9x2m4q8a"])]


class KeyRequest(Input):
    """The key that is wanted."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    tenant: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] | None = Field(
        None, description="The caller's own tenant; others are made where Redis is."
    )


_EXAMPLE = {"name": "ci", "scopes": ["submit", "read", "cancel"]}


@router.post("/keys", status_code=201, response_model=NewKey, openapi_extra=takes(KeyRequest, _EXAMPLE))
def create(caller: Admin, parts: Uses, wanted: Annotated[KeyRequest, Depends(json_body(KeyRequest))]) -> Response:
    """Make a key. Its text is shown this once."""
    if wanted.tenant not in (None, caller.tenant):
        raise Forbidden(f"this key makes keys for tenant {caller.tenant} only")
    record, text = parts.api_keys.create(caller.tenant, wanted.scopes, wanted.name)
    return answer(NewKey(**dict(record), secret=text), 201, {"Location": f"/v1/keys/{record.id}"})


@router.get("/keys", response_model=KeyList)
def list_keys(caller: Admin, parts: Uses) -> Response:
    """The tenant's keys, revoked ones too."""
    return answer(KeyList(items=[KeyView(**dict(record)) for record in parts.api_keys.list(caller.tenant)]))


@router.delete("/keys/{key}", response_model=KeyView)
def revoke(caller: Admin, parts: Uses, key: KeyId) -> Response:
    """End a key, from this moment on. Repeating it changes nothing."""
    return answer(KeyView(**dict(parts.api_keys.revoke(key, caller.tenant))))


@router.get("/whoami", response_model=KeyView)
def whoami(caller: Anyone) -> Response:
    """The key that asks."""
    return answer(KeyView(**dict(caller)))
