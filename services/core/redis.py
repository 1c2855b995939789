"""The one door to redis-py: connecting, running scripts, and turning its errors into ours."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, ParamSpec, TypeVar

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from services.core.errors import StoreUnavailable

# redis-py's own types mix the answers of its sync, async and cluster clients; what goes through here is typed by us.
Client = Any

P = ParamSpec("P")
T = TypeVar("T")


def connect(
    url: str, *, cluster: bool = False, client_name: str = "cohort", patience_seconds: float | None = None
) -> Client:
    """A client whose commands give up within seconds instead of hanging on a dead connection.

    Commands are retried three times by redis-py. That is safe because every write of ours is a script that answers
    the same when it is sent twice. With `patience_seconds` they are not, and give up after so long.
    """
    options: dict[str, Any] = {
        "decode_responses": False,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "client_name": client_name,
    }
    if patience_seconds is not None:
        options |= {"socket_timeout": patience_seconds, "socket_connect_timeout": patience_seconds}
        options["retry"] = Retry(NoBackoff(), 0)
    elif not cluster:
        options["retry"] = Retry(ExponentialBackoff(cap=1, base=0.05), 3)
    if cluster:
        return redis.RedisCluster.from_url(url, **options)
    return redis.Redis.from_url(url, **options)


def server_info(client: Client) -> list[dict[str, Any]]:
    """What each server of a store says of itself (`INFO`): one, or every primary of a cluster; none where a stand-in
    for Redis says nothing. Raises `StoreUnavailable`."""
    with translated():
        try:
            if not isinstance(client, redis.RedisCluster):
                return [client.info()]
            found = client.info(target_nodes=redis.RedisCluster.PRIMARIES)
        except ResponseError:
            return []
        return [found] if "redis_version" in found else list(found.values())


@contextmanager
def translated() -> Iterator[None]:
    """Raise `StoreUnavailable` for whatever redis-py raises."""
    try:
        yield
    except RedisError as error:
        raise StoreUnavailable(f"Redis does not answer as it should: {error}") from error


@cache
def _source(name: str) -> tuple[str, str]:
    text = files("services.core.lua").joinpath(f"{name}.lua").read_text()
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


def run_script(client: Client, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
    """Run `lua/<name>.lua`, loading it where the server does not know it (a fresh one, a failed-over one)."""
    text, digest = _source(name)
    with translated():
        try:
            return client.evalsha(digest, len(keys), *keys, *args)
        except NoScriptError:
            return client.eval(text, len(keys), *keys, *args)


def answered(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a method that speaks to Redis: its errors become `StoreUnavailable`."""

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with translated():
            return function(*args, **kwargs)

    call.__doc__, call.__name__ = function.__doc__, function.__name__
    return call
