"""Whether a process sends spans, and where to: what its settings say."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.core.appended import Onlooker
from services.core.errors import BadRequest
from services.core.settings import SharedSettings
from services.core.spans import Trace, untraced


@dataclass(frozen=True)
class Traced:
    """What a process does with spans: `trace` sends one, `onlookers` those of what a run store appends."""

    trace: Trace = untraced
    onlookers: tuple[Onlooker, ...] = ()


@contextmanager
def traced(settings: SharedSettings, service: str) -> Iterator[Traced]:
    """Send spans until the end of the context, if there is somewhere to. Raises `BadRequest` for an address or headers
    that are none."""
    if not settings.traces_url:
        yield Traced()
        return
    url, headers = _url(settings.traces_url), _headers(settings.traces_headers.get_secret_value())
    # Its libraries take a while to import, and memory: only who sends spans shall pay.
    from services.core.tracing import Tracing

    tracing = Tracing(url, headers, service, settings.traces_ratio)
    try:
        yield Traced(tracing.send, (tracing.watch,))
    finally:
        tracing.close()


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadRequest(
            "COHORT_TRACES_URL is no http address; give the whole one, as http://collector:4318/v1/traces",
            "COHORT_TRACES_URL",
        )
    return text


def _headers(text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not (name.strip() and equals):
            raise BadRequest(
                "COHORT_TRACES_HEADERS is to be name=value, several with commas between", "COHORT_TRACES_HEADERS"
            )
        headers[name.strip()] = value.strip()
    return headers
