"""The addresses of a Redis: one server, a Redis Cluster, or a primary that Sentinels name. Pure; knows no client.

    redis://[[user]:password@]host[:6379][/database]       rediss:// with TLS, unix:///path?db=0
    redis+sentinel://[[user]:password@]host[:26379],host[:26379],…[/database]?service=mymaster

User and password are those of the Redis servers; Sentinels that have their own: `&sentinel_user=…&sentinel_password=…`.
No error quotes an address: it holds a password.
"""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from services.core.errors import BadRequest

SENTINEL = "redis+sentinel://"
_PLAIN = ("redis", "rediss", "unix")
_SENTINEL_PORT = 26379
_OPTIONS = {"service", "sentinel_user", "sentinel_password"}
_FORM = "it reads redis+sentinel://:password@host:26379,host:26379,host:26379/0?service=mymaster"


@dataclass(frozen=True)
class SentinelAddress:
    """Sentinels, and the name under which they know the primary."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_user: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def credentials(self) -> dict[str, str]:
        """The Redis servers', as redis-py takes them."""
        return _given(username=self.user, password=self.password)

    def sentinel_credentials(self) -> dict[str, str]:
        """The Sentinels', as redis-py takes them."""
        return _given(username=self.sentinel_user, password=self.sentinel_password)

    def broker_url(self) -> str:
        """The address as Celery writes it; it wants the service's name beside it."""
        user, password = quote(self.user or "", safe=""), quote(self.password or "", safe="")
        account = f"{user}:{password}@" if user or password else ""
        return ";".join(f"sentinel://{account}{host}:{port}/{self.database}" for host, port in self.sentinels)


def sentinel_address(url: str, what: str) -> SentinelAddress | None:
    """The Sentinels that a URL names; None where it names a server. Raises `BadRequest`, which calls the URL `what`."""
    if not url.startswith(SENTINEL):
        _check_plain(url, what)
        return None
    rest, _, query = url.removeprefix(SENTINEL).partition("?")
    place, _, database = rest.partition("/")
    account, has_account, hosts = place.rpartition("@")
    user, _, password = account.partition(":")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if strangers := sorted(set(options) - _OPTIONS):
        raise _bad(what, f"it has {', '.join(strangers)} behind the ?, and only {', '.join(sorted(_OPTIONS))} can be")
    if not options.get("service"):
        raise _bad(what, "?service= is missing, the name under which the Sentinels know the primary")
    if not (database or "0").isdecimal():
        raise _bad(what, "the database behind the / is no number")
    return SentinelAddress(
        sentinels=tuple(_host(one, what) for one in hosts.split(",")),
        service=options["service"],
        database=int(database or 0),
        user=unquote(user) or None if has_account else None,
        password=unquote(password) or None if has_account else None,
        sentinel_user=options.get("sentinel_user") or None,
        sentinel_password=options.get("sentinel_password") or None,
    )


def _host(text: str, what: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or "/" in text:
        raise _bad(what, "one of the Sentinels is no host:port")
    return host, _SENTINEL_PORT if port is None else port


def _check_plain(url: str, what: str) -> None:
    scheme = url.partition("://")[0]
    if "://" not in url or scheme not in _PLAIN:
        raise BadRequest(f"{what}: begins with none of redis://, rediss://, unix://, {SENTINEL}", what)
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        why = "the port is no number, or the password has signs that have to be %-encoded"
        raise BadRequest(f"{what}: {why}", what) from error


def _bad(what: str, why: str) -> BadRequest:
    return BadRequest(f"{what}: {why}; {_FORM}", what)


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
