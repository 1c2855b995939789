"""Who calls: an API key with a scope on the public routes, an attempt's own token on the runner's."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.parameters import AttemptId
from services.api.parts import Uses
from services.api.problems import Forbidden, NoKey
from services.core import tokens
from services.core.apikeys import KeyRecord, Scope
from services.core.tokens import BadToken

_KEY = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key, `ck_…`.")
_TOKEN = HTTPBearer(auto_error=False, scheme_name="AttemptToken", description="The token of one attempt.")

Credentials = HTTPAuthorizationCredentials | None


def _having(scope: Scope) -> Callable[..., KeyRecord]:
    def check(parts: Uses, credentials: Annotated[Credentials, Security(_KEY)]) -> KeyRecord:
        if credentials is None:
            raise NoKey("this route needs an API key")
        caller = parts.api_keys.check(credentials.credentials)
        if not caller.may(scope):
            raise Forbidden(f"this route needs a key with the scope {scope}; this one has {', '.join(caller.scopes)}")
        return caller

    return check


def _any_key(parts: Uses, credentials: Annotated[Credentials, Security(_KEY)]) -> KeyRecord:
    if credentials is None:
        raise NoKey("this route needs an API key")
    return parts.api_keys.check(credentials.credentials)


Submitter = Annotated[KeyRecord, Depends(_having(Scope.SUBMIT))]
Reader = Annotated[KeyRecord, Depends(_having(Scope.READ))]
Canceller = Annotated[KeyRecord, Depends(_having(Scope.CANCEL))]
Admin = Annotated[KeyRecord, Depends(_having(Scope.ADMIN))]
Anyone = Annotated[KeyRecord, Depends(_any_key)]


async def _runner(attempt: AttemptId, parts: Uses, credentials: Annotated[Credentials, Security(_TOKEN)]) -> str:
    if credentials is None:
        raise NoKey("this route needs the attempt's token")
    # The comparison of signatures takes ASCII only.
    if not credentials.credentials.isascii():
        raise BadToken("this is no token of ours for the runner's ingest")
    tokens.check(parts.runner_secret, attempt, credentials.credentials)
    return attempt


# The attempt that the path names, once the token is known to be its own.
Runner = Annotated[str, Depends(_runner)]
