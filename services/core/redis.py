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
from redis.sentinel import MasterNotFoundError

from services.core.errors import BadRequest, StoreUnavailable
from services.core.redis_urls import SentinelAddress, sentinel_address

# redis-py's own types mix the answers of its sync, async and cluster clients; what goes through here is typed by us.
Client = Any

P = ParamSpec("P")
T = TypeVar("T")


def connect(
    url: str,
    *,
    cluster: bool = False,
    client_name: str = "cohort",
    patience_seconds: float | None = None,
    what: str = "COHORT_REDIS_URL",
) -> Client:
    """A client whose commands give up within seconds instead of hanging on a dead connection. Connects to nothing yet.

    Commands are retried three times by redis-py. That is safe because every write of ours is a script that answers
    the same when it is sent twice. With `patience_seconds` they are not, and give up after so long. Raises `BadRequest`
    for a URL that is none, which it calls `what`.
    """
    address = sentinel_address(url, what)
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
        if address is not None:
            raise BadRequest(f"{what}: Sentinels watch over a single primary, not over a Redis Cluster", what)
        return redis.RedisCluster.from_url(url, **options)
    if address is not None:
        sentinels: Any = redis.Sentinel
        taken = sentinel_options(address, options)
        taken["sentinel_kwargs"]["retry"] = quick_retry()
        # Each try asks all the Sentinels, and connecting tries as well as the command: once more is enough.
        taken["retry"] = quick_retry() if patience_seconds is None else options["retry"]
        return sentinels(address.sentinels, **taken).master_for(address.service)
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


def sentinel_options(address: SentinelAddress, options: dict[str, Any]) -> dict[str, Any]:
    """What a Sentinel client takes: `options` for the servers, and little patience with the Sentinels themselves."""
    patience = {"socket_timeout": 2, "socket_connect_timeout": 2, **address.sentinel_credentials()}
    return {**options, "db": address.database, **address.credentials(), "sentinel_kwargs": patience}


def quick_retry() -> Retry:
    """How often one Sentinel is asked again: there are others, and whoever wants an answer asks again anyway."""
    return Retry(ExponentialBackoff(cap=0.1, base=0.05), 1)


@contextmanager
def translated() -> Iterator[None]:
    """Raise `StoreUnavailable` for whatever redis-py raises."""
    try:
        yield
    except MasterNotFoundError as error:
        raise StoreUnavailable("no Sentinel that answers names a primary") from error
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
