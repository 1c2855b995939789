"""Who calls: an API key with a scope on the public routes, an attempt's own token on the runner's.

What the OpenAPI document says of this is written in `openapi`.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Depends, Request

from services.api.parameters import AttemptId
from services.api.parts import Parts
from services.api.problems import Forbidden, NoKey
from services.core import tokens
from services.core.apikeys import KeyRecord, Scope
from services.core.keys import rank_id, split_rank
from services.core.logging import from_now_on
from services.core.tokens import BadToken


def _having(scope: Scope | None) -> Callable[[Request], Awaitable[KeyRecord]]:
    async def check(request: Request) -> KeyRecord:
        parts: Parts = request.app.state.parts
        caller = await run_sync(parts.api_keys.check, _credential(request, "an API key"))
        if scope is not None and not caller.may(scope):
            raise Forbidden(f"this route needs a key with the scope {scope}; this one has {', '.join(caller.scopes)}")
        from_now_on(tenant=caller.tenant, key=caller.id)
        return caller

    return check


Submitter = Annotated[KeyRecord, Depends(_having(Scope.SUBMIT))]
Reader = Annotated[KeyRecord, Depends(_having(Scope.READ))]
Canceller = Annotated[KeyRecord, Depends(_having(Scope.CANCEL))]
Admin = Annotated[KeyRecord, Depends(_having(Scope.ADMIN))]
Anyone = Annotated[KeyRecord, Depends(_having(None))]


async def _runner(request: Request, attempt: AttemptId) -> str:
    parts: Parts = request.app.state.parts
    token = _credential(request, "the attempt's token")
    # The comparison of signatures takes ASCII only.
    if not token.isascii():
        raise BadToken("this is no token of ours for the runner's ingest")
    whole, rank = split_rank(attempt)
    tokens.check(parts.runner_secret, whole, token)
    from_now_on(attempt=rank_id(whole, rank))
    return rank_id(whole, rank)


# The attempt that the path names, or the rank of it, once the token is known to be the attempt's own.
Runner = Annotated[str, Depends(_runner)]


def _credential(request: Request, wanted: str) -> str:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise NoKey(f"this route needs {wanted}: send the header `Authorization: Bearer …`")
    return credential.strip()
