"""Cohort's REST API as the command line calls it. The one door to httpx.

Requests are safe to send twice (submits carry an idempotency key, messages an id), so what fails for a moment is
tried again a few times; the exception is making an API key. A problem document becomes `Refused`, no answer
`Unreachable`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

from services.cli.plain import one_line
from services.cli.problems import Bewildering, Refused, Unreachable, Usage, is_passing
from services.cli.sse import Message, messages

Json = dict[str, Any]
Query = Mapping[str, str | int | list[str]]

RETRY_PAUSES = (0.3, 1.0)
LONGEST_RETRY_AFTER = 10.0
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
READY_SECONDS = 2.0
# Two keep-alives of the server may get lost before a silent stream counts as dead.
STREAM_SILENCE_SECONDS = 45.0
_LOOPBACK = ("http://127.", "http://localhost", "http://[::1]")


@dataclass(frozen=True)
class Download:
    """A body on its way: its headers and its bytes in pieces."""

    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class ApiClient:
    """Speaks to one API with one key. Raises `Refused`, `Unreachable` or `Bewildering`."""

    def __init__(self, url: str, key: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = url.rstrip("/")
        self._sleep = sleep
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {key}", "User-Agent": "cohort-cli"},
                timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
                # A proxy from the environment cannot reach this machine's own loopback address.
                trust_env=not self.url.startswith(_LOOPBACK),
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise Usage("the API's address or key is not usable; check COHORT_URL and COHORT_KEY") from error

    def close(self) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        """Whether the API says that it can work, and knows our key: another one may have been quicker to take the port.

        Asked once, for a start to wait for.
        """
        try:
            return all(self._http.get(path, timeout=READY_SECONDS).is_success for path in ("/readyz", "/v1/whoami"))
        except httpx.TransportError:
            return False

    def get(self, path: str, query: Query | None = None, read_seconds: float = READ_SECONDS) -> Json:
        """The JSON document at `path`."""
        timeout = httpx.Timeout(read_seconds, connect=CONNECT_SECONDS)
        return _document(self._repeated(lambda: self._http.get(path, params=query, timeout=timeout)))

    def post(self, path: str, body: Json, headers: Mapping[str, str] | None = None, repeat: bool = True) -> Json:
        """Send JSON. With `repeat` the caller sees to it that sending it twice is harmless."""
        pauses = RETRY_PAUSES if repeat else ()
        return _document(self._repeated(lambda: self._http.post(path, json=body, headers=headers), pauses))

    def post_archive(self, path: str, body: str, archive: BinaryIO, headers: Mapping[str, str]) -> Json:
        """Send a multipart form: `body`, the JSON of the goal, and a tar.gz, read from its start at each try."""

        def send() -> httpx.Response:
            archive.seek(0)
            parts: dict[str, tuple[str | None, BinaryIO | str, str]] = {
                "goal": (None, body, "application/json"),
                "archive": ("inputs.tar.gz", archive, "application/gzip"),
            }
            return self._http.post(path, files=parts, headers=headers)

        return _document(self._repeated(send))

    def delete(self, path: str) -> None:
        self._repeated(lambda: self._http.delete(path))

    @contextmanager
    def download(self, path: str, query: Query | None = None) -> Iterator[Download]:
        """The body at `path`, streamed. Not repeated: a part may be on its way already."""
        with _translated(self.url), self._http.stream("GET", path, params=query) as response:
            _check(response)
            yield Download(response.headers, response.iter_bytes())

    def stream(self, path: str, query: Query | None = None, last_id: str = "") -> Iterator[Message]:
        """The server-sent events at `path` after `last_id`, until the server ends the stream."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        timeout = httpx.Timeout(STREAM_SILENCE_SECONDS, connect=CONNECT_SECONDS)
        with (
            _translated(self.url),
            self._http.stream("GET", path, params=query, headers=headers, timeout=timeout) as response,
        ):
            _check(response)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise Bewildering(f"{self.url} answers, but not with a stream of events; is it Cohort's API?")
            yield from messages(response.iter_bytes())

    def _repeated(self, send: Callable[[], httpx.Response], pauses: Sequence[float] = RETRY_PAUSES) -> httpx.Response:
        for pause in pauses:
            try:
                with _translated(self.url):
                    response = send()
            except Unreachable:
                self._sleep(pause)
                continue
            if not is_passing(response.status_code):
                _check(response)
                return response
            self._sleep(_retry_after(response, pause))
        with _translated(self.url):
            response = send()
        _check(response)
        return response


def path_of(*parts: str) -> str:
    """An absolute path of quoted parts: what a user typed can name nothing outside of it."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _retry_after(response: httpx.Response, pause: float) -> float:
    asked = response.headers.get("retry-after", "")
    return min(max(float(asked), pause), LONGEST_RETRY_AFTER) if asked.isdigit() else pause


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise Unreachable(f"no answer from {url} in time; is it up, and is the address right?") from error
    except httpx.ConnectError as error:
        raise Unreachable(f"nothing listens at {url}; start it with `cohort up`, or set COHORT_URL") from error
    except httpx.HTTPError as error:
        raise Unreachable(f"the connection to {url} broke: {one_line(str(error), 200)}") from error


def _check(response: httpx.Response) -> None:
    if response.status_code < 400:
        return
    response.read()
    text = _problem_text(response)
    if is_passing(response.status_code):
        raise Unreachable(text)
    raise Refused(text, response.status_code)


def _problem_text(response: httpx.Response) -> str:
    """One line out of a problem document: what is wrong, where, and what to do."""
    fallback = f"{response.request.url.host} answered {response.status_code} {response.reason_phrase}"
    try:
        problem = response.json()
    except ValueError:
        return f"{fallback}, and not as Cohort's API does; check COHORT_URL"
    if not isinstance(problem, dict):
        return fallback
    what = str(problem.get("detail") or problem.get("title") or fallback)
    field = str(problem.get("field") or "")
    advice = str(problem.get("what_to_do") or "")
    text = what if not field or field in what else f"{field}: {what}"
    return one_line(f"{text.rstrip('.')}. {advice}" if advice and advice not in text else text, 1000)


def _document(response: httpx.Response) -> Json:
    try:
        document = response.json()
    except ValueError as error:
        raise Bewildering(f"{response.request.url.host} answers, but not as Cohort's API; check COHORT_URL") from error
    if not isinstance(document, dict):
        raise Bewildering(f"{response.request.url.host} answers, but not as Cohort's API; check COHORT_URL")
    return document
