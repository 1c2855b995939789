"""The client of all tools that ask something outside: bounded in time and size, patient, frugal, careful with tokens.

Redirects are followed one by one, each checked as if it had been asked for; a token goes to the host it is for, and to
no other. Answers to GET are kept on disk and asked for again only when they are too old for the caller.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from pydantic import SecretStr

from services.worker.web.addresses import Hosts
from services.worker.web.cache import DiskCache, Kept, key_of
from services.worker.web.failures import Busy, Gated, NotAllowed, NotThere, Odd, TooLarge, Unreachable
from services.worker.web.transport import Place, transport

_TIMEOUT = httpx.Timeout(20.0, connect=8.0)
_TOTAL_SECONDS = 60.0
_TRIES = 3
_BACK_OFF_SECONDS = 1.0
# Who says to come again later than this is told of instead.
_PATIENCE_SECONDS = 20.0
_REDIRECTS = 5
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_AGENT = "cohort-agent"
_TOLD_CHARS = 300
JSON = "application/json"


@dataclass(frozen=True)
class Access:
    """What the tools of one tenant may reach, and with what: a header's name and value by host and port."""

    hosts: Hosts = field(default_factory=Hosts)
    tokens: Mapping[Place, tuple[str, SecretStr]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Answer:
    """What came. `url` is where it came from in the end; `age_seconds` says how long ago its server last said so, and
    `is_stale` that it does not answer now."""

    url: str
    content_type: str
    body: bytes = field(repr=False)
    age_seconds: float = 0.0
    is_stale: bool = False

    def text(self) -> str:
        """The body as text."""
        charset = self.content_type.partition("charset=")[2].partition(";")[0].strip(" \"'") or "utf-8"
        try:
            return self.body.decode(charset, errors="replace")
        except LookupError:
            return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises `Odd` where it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            kind = self.content_type.partition(";")[0] or "something without a type"
            raise Odd(
                f"{_shown(self.url)} was to answer with JSON and sent {kind}; it may be down, or not be what "
                "this tool knows"
            ) from error


@dataclass(frozen=True)
class Wanted:
    """One request. A `body` is sent as JSON. `fresh_seconds`: how old an answer may be that was kept."""

    url: str
    method: str = "GET"
    accept: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    max_bytes: int = 8 * 2**20
    fresh_seconds: float = 300.0
    is_repeatable: bool = True


def place_of(url: str) -> Place:
    """Host and port of an address. Raises `NotAllowed` where it has none."""
    parts = urlsplit(url)
    try:
        return (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise NotAllowed(f"{_shown(url)} has no port that there is") from None


class Web:
    """The internet, as tools see it. Threads may share it. `trusted` are places that an operator has set, wherever
    they are."""

    def __init__(
        self,
        cache: DiskCache | None = None,
        trusted: Collection[Place] = (),
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._trusted = frozenset(trusted)
        self._sleep = sleep
        self._clock = clock
        self._http = httpx.Client(
            transport=transport(trusted),
            timeout=_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": _AGENT},
        )

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    def ask(self, wanted: Wanted, access: Access) -> Answer:
        """The answer, from the disk where it is fresh enough. Raises a `WebError` that says what to do."""
        if wanted.method != "GET" or self._cache is None:
            return self._fetched(wanted, access)[0]
        credential = sha256(repr(self._credential(wanted.url, access)).encode()).hexdigest()
        key = key_of(wanted.url, wanted.accept, credential)
        kept, now = self._cache.get(key), self._clock()
        if kept is not None and now - kept.checked < wanted.fresh_seconds:
            return _of(kept, now)
        try:
            answer, response = self._fetched(_if_changed(wanted, kept), access)
        except (Busy, Unreachable):
            if kept is None:
                raise
            return replace(_of(kept, now), is_stale=True)
        if response.status_code == httpx.codes.NOT_MODIFIED and kept is not None:
            kept = replace(kept, checked=now)
        else:
            head = response.headers
            kept = Kept(
                answer.url, answer.content_type, head.get("etag", ""), head.get("last-modified", ""), now, answer.body
            )
        self._cache.put(key, kept)
        return _of(kept, now)

    def _fetched(self, wanted: Wanted, access: Access) -> tuple[Answer, httpx.Response]:
        """Ask until there is an answer that is final."""
        ends = time.monotonic() + _TOTAL_SECONDS
        for tried in range(1, _TRIES + 1):
            try:
                return self._followed(wanted, access, ends)
            except (Busy, Unreachable) as error:
                pause = _BACK_OFF_SECONDS * 2 ** (tried - 1)
                if isinstance(error, Busy) and error.again_in_seconds is not None:
                    pause = error.again_in_seconds
                is_late = pause > _PATIENCE_SECONDS or time.monotonic() + pause > ends
                if tried == _TRIES or is_late or not wanted.is_repeatable:
                    raise
                self._sleep(pause)
        raise AssertionError("the last try answers or raises")

    def _followed(self, wanted: Wanted, access: Access, ends: float) -> tuple[Answer, httpx.Response]:
        url = wanted.url
        for _ in range(_REDIRECTS + 1):
            self._check(url, access)
            response, body = self._once(wanted, url, access, ends)
            target = response.headers.get("location", "")
            if response.status_code not in _REDIRECTED or not target:
                _check_status(response, url, body)
                return Answer(url, response.headers.get("content-type", ""), body), response
            url = urljoin(url, target)
            if wanted.method != "GET":
                raise Odd(f"{_shown(wanted.url)} wants the request to go to {_shown(url)}; nothing was sent there")
        raise Odd(f"{_shown(wanted.url)} leads from one address to the next without an end")

    def _check(self, url: str, access: Access) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise NotAllowed(f"{_shown(url)} is no http address")
        if parts.username is not None or parts.password is not None:
            raise NotAllowed("an address with a name or password in it is not fetched")
        if place_of(url) not in self._trusted and not access.hosts.allows(parts.hostname):
            raise NotAllowed(f"{parts.hostname} is none of the hosts that this tenant's tools may reach")

    def _credential(self, url: str, access: Access) -> dict[str, str]:
        """The header for this address, if there is one: never over a connection that others can read, but to places
        that an operator has set."""
        place = place_of(url)
        if place not in access.tokens or not (urlsplit(url).scheme == "https" or place in self._trusted):
            return {}
        name, token = access.tokens[place]
        return {name: token.get_secret_value()}

    def _once(self, wanted: Wanted, url: str, access: Access, ends: float) -> tuple[httpx.Response, bytes]:
        headers = {"Accept": wanted.accept, **wanted.headers, **self._credential(url, access)}
        try:
            with self._http.stream(wanted.method, url, headers=headers, json=wanted.body) as response:
                return response, _read(response, wanted.max_bytes, ends, url)
        except httpx.InvalidURL as error:
            raise NotAllowed(f"{_shown(url)} is no address: {error}") from error
        except httpx.TimeoutException as error:
            raise Unreachable(f"{_shown(url)} did not answer in time") from error
        except httpx.TransportError as error:
            raise Unreachable(f"{_shown(url)} could not be reached: {type(error).__name__}") from error
        except httpx.DecodingError as error:
            raise Odd(f"{_shown(url)} sent what it had packed wrongly") from error


def _read(response: httpx.Response, most: int, ends: float, url: str) -> bytes:
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise TooLarge(f"{_shown(url)} has {announced} bytes, and at most {most} are taken")
    body = bytearray()
    for piece in response.iter_bytes(65_536):
        body += piece
        if len(body) > most:
            raise TooLarge(f"{_shown(url)} sends more than the {most} bytes that are taken")
        if time.monotonic() > ends:
            raise Unreachable(f"{_shown(url)} took longer than {_TOTAL_SECONDS:g} s")
    return bytes(body)


def _check_status(response: httpx.Response, url: str, body: bytes) -> None:
    status = response.status_code
    if response.is_success or status == httpx.codes.NOT_MODIFIED:
        return
    said = f"{_shown(url)} answered {status}{_told(response, body)}"
    if status == httpx.codes.FORBIDDEN and response.headers.get("x-ratelimit-remaining") == "0":
        status = httpx.codes.TOO_MANY_REQUESTS
    match status:
        case 401 | 403:
            raise Gated(f"{said}: it needs a token with the right to it, or somebody's consent on its page")
        case 404 | 410:
            raise NotThere(f"{said}: there is no such thing; check the name")
        case 429:
            raise Busy(f"{said}: too many requests; try again later, or ask for less", _again_in(response))
        case _ if status >= 500:
            raise Busy(f"{said}: it is in trouble; try again later", _again_in(response))
        case _:
            raise Odd(said)


def _told(response: httpx.Response, body: bytes) -> str:
    """What it says is wrong, where it says so in JSON."""
    if "json" not in response.headers.get("content-type", ""):
        return ""
    try:
        told = json.loads(body)
    except ValueError:
        return ""
    said = (
        next((told[name] for name in ("error", "message", "detail") if told.get(name)), "")
        if isinstance(told, dict)
        else ""
    )
    return f" ({' '.join(str(said).split())[:_TOLD_CHARS]})" if said else ""


def _again_in(response: httpx.Response) -> float | None:
    """The header `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3); or GitHub's, a time of the epoch."""
    reset = response.headers.get("x-ratelimit-reset", "")
    text = response.headers.get("retry-after", "").strip()
    if not text and reset.isdigit():
        return max(0.0, float(reset) - time.time())
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) if text else None
    except ValueError:
        return None


def _if_changed(wanted: Wanted, kept: Kept | None) -> Wanted:
    if kept is None:
        return wanted
    asked = {"If-None-Match": kept.etag, "If-Modified-Since": kept.last_modified}
    return replace(wanted, headers={**wanted.headers, **{name: value for name, value in asked.items() if value}})


def _of(kept: Kept, now: float) -> Answer:
    return Answer(kept.url, kept.content_type, kept.body, max(0.0, now - kept.checked))


def _shown(url: str) -> str:
    """An address for people: without what may be a secret in it, and not too long."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{host}{parts.path}"[:200] or "the address"
