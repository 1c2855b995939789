"""Which API the command line talks to, and with which key."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.cli.client import ApiClient
from services.cli.home import home_at, read_json
from services.cli.problems import Usage
from services.core.settings import ClientSettings, load


@dataclass(frozen=True)
class Address:
    """An API and a key for it."""

    url: str
    key: str = field(repr=False)


def address(url: str, key: str, local: Mapping[str, str]) -> Address:
    """What the user set wins over what `cohort up` wrote down. A local key goes to the local API only. Pure."""
    if not url and not local.get("url"):
        raise Usage("no API is known: start one with `cohort up`, or set COHORT_URL and COHORT_KEY")
    if not key and url and url.rstrip("/") != local.get("url"):
        raise Usage(f"no key for {url}: set COHORT_KEY")
    return Address(_checked(url or local["url"]), key or local["key"])


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise Usage(f"{url!r} is no address of an API; COHORT_URL is like http://127.0.0.1:8470")
    return url


@contextmanager
def open_api() -> Iterator[ApiClient]:
    """A client for the API that the environment, or else `cohort up`, names."""
    settings = load(ClientSettings)
    known = read_json(home_at(settings.home).client_file)
    target = address(settings.url, settings.key.get_secret_value(), {name: str(known[name]) for name in known})
    api = ApiClient(target.url, target.key)
    try:
        yield api
    finally:
        api.close()
