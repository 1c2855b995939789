"""The runner's side of the HTTP protocol: what the API is told of one attempt, and told again until it has it.

Every call is safe to repeat. Failures that time can mend (no connection, 5xx, 429) are retried here for ever, with
full jitter; everything else is an answer, and a type.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import google_crc32c
import httpx
import structlog

from services.core.commands import NextCommand, Outcome
from services.core.errors import CohortError
from services.core.manifest import Manifest, Parcel, Version
from services.core.observations import FinishReport, Observations
from services.core.record import Record
from services.core.records import FileRef
from services.core.tokens import PROTOCOL

FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 15.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
_BAD_CHECKSUMS = 10
_READ_BYTES = 1 << 20
_UNWANTED = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)

log = structlog.get_logger()

_JSON = {"Content-Type": "application/json"}

Content = bytes | Callable[[], Iterable[bytes]]
R = TypeVar("R", bound=Record)


class Fenced(CohortError):
    """The attempt is over for the API: nothing more of it will be taken."""


class Stopped(CohortError):
    """This process has been told to end and its time to do so is up."""


class ClaimTaken(CohortError):
    """Another execution of this attempt claimed it first."""


class Refused(CohortError):
    """The API says no, and asking again the same way would not change that (a bad token, a bad request)."""


class Unwanted(Refused):
    """The API won't have this one thing; everything else can go on."""


class TooLarge(CohortError):
    """The body is more than the API takes at once."""


class Halt:
    """Why the threads of a sidecar should stop, and the one place where they wait."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._fenced = False

    def fence(self) -> None:
        """The attempt is over: stop now."""
        self._fenced = True
        self._event.set()

    def stop(self) -> None:
        """Stop now; another sidecar may continue."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Wait so long; raises as `check` does, at once when it becomes true."""
        self._event.wait(seconds)
        self.check()

    def check(self) -> None:
        """Raises `Fenced` or `Stopped` if there is nothing left to do for this process."""
        if self._event.is_set():
            raise Fenced("the attempt is over") if self._fenced else Stopped("told to stop")


def delay_seconds(failures: int, jitter: float) -> float:
    """Full-jitter back-off after `failures` failures in a row (from 0); `jitter` is uniform in [0, 1)."""
    return jitter * min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(failures, 16))


def retry_after_seconds(response: httpx.Response) -> float:
    """How long the server asks us to wait; 0 if it names no number of seconds."""
    header: str = response.headers.get("Retry-After", "")
    return min(float(header), LONGEST_RETRY_AFTER_SECONDS) if header.isdecimal() else 0.0


class AttemptClient:
    """One attempt's calls. Threads may share it. Every method may raise `Fenced`, `Stopped` and `Refused`."""

    def __init__(self, http: httpx.Client, attempt: str, halt: Halt) -> None:
        self._http = http
        self._path = f"/internal/v1/attempts/{attempt}"
        self._halt = halt

    def claim(self, pod_uid: str) -> None:
        """Make this execution the attempt's only one. Raises `ClaimTaken`. To claim again what one has is no error."""
        response = self._send("POST", "/claim", json={"pod_uid": pod_uid, "protocol": PROTOCOL})
        if response.status_code == HTTPStatus.CONFLICT:
            raise ClaimTaken(_detail(response))
        _expect(response)

    def put_log(self, offset: int, data: bytes, written: float) -> int:
        """Send what the log has at `offset`, the first of it `written` then on the monotonic clock. Returns the offset
        to go on from, which may be an earlier or a later one. Raises `TooLarge`."""
        headers = {"X-Crc32c": f"{google_crc32c.value(data):08x}", "Content-Type": "application/octet-stream"}
        for failures in range(_BAD_CHECKSUMS):
            response = self._send("PUT", "/log", written, params={"offset": offset}, content=data, headers=headers)
            match response.status_code:
                case HTTPStatus.CONFLICT:
                    return _expected_offset(response)
                case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                    raise TooLarge(_detail(response))
                case HTTPStatus.BAD_REQUEST:
                    self._halt.wait(delay_seconds(failures, random.random()))
                case _:
                    _expect(response)
                    return int(response.headers.get("X-Log-Offset", offset + len(data)))
        raise Refused(f"PUT /log: bytes arrived damaged {_BAD_CHECKSUMS} times: {_detail(response)}")

    def observe(self, observations: Observations) -> None:
        """Tell metrics, progress, samples and warnings."""
        _expect(self._send("POST", "/observations", content=_json(observations), headers=_JSON))

    def heartbeat(self, pod_uid: str) -> tuple[bool, float | None]:
        """Say that this execution lives; returns whether to cancel it and the grace period, if the API names one."""
        response = self._send("POST", "/heartbeat", json={"pod_uid": pod_uid})
        _expect(response)
        answer = _answer(response)
        return bool(answer.get("cancel")), answer.get("grace_seconds")

    def put_output(self, path: str, sha256: str, size: int, read: Callable[[], Iterable[bytes]]) -> FileRef:
        """Upload one output; `read` gives its bytes, anew at each call. Raises `Unwanted`, and what `read` raises."""
        self._put_file(f"/outputs/{quote(path)}", sha256, size, read)
        return FileRef(path=path, sha256=sha256, size=size)

    def newest_version(self) -> Version:
        """The checkpoint that the API has, or began the attempt with."""
        return self._get("/checkpoint", Version)

    def put_object(self, sha256: str, size: int, read: Callable[[], Iterable[bytes]]) -> str:
        """Upload one file of a checkpoint; returns the receipt for it. Raises `Unwanted`, and what `read` raises."""
        return str(_answer(self._put_file("/checkpoint/objects", sha256, size, read)).get("receipt", ""))

    def put_version(self, version: Version) -> None:
        """Make this the newest checkpoint. Raises `Unwanted`."""
        response = self._send("PUT", "/checkpoint", content=_json(version), headers=_JSON)
        _expect(response, unwanted=True)

    def files(self) -> Manifest:
        """What the attempt's directories hold at its start."""
        return self._get("/files", Manifest)

    def get_blob(self, sha256: str, take: Callable[[Iterator[bytes]], None]) -> None:
        """Hand the bytes of one listed file to `take`: anew, from the first byte on, whenever the connection broke.
        Raises what `take` raises."""
        _expect(self._send("GET", f"/blobs/{sha256}", take=take))

    def get_parcel(self, digests: Sequence[str]) -> bytes:
        """The bytes of several small listed files, one after the other."""
        response = self._send("POST", "/parcel", content=_json(Parcel(digests=tuple(digests))), headers=_JSON)
        _expect(response)
        return response.content

    def next_command(self, pod_uid: str, tended: tuple[str, ...] = (), *, is_over: bool = False) -> NextCommand:
        """What a sandbox is to do next. Waits a while for it, unless it `is_over` and can only hear what it missed."""
        asked = {"pod_uid": pod_uid, "tended": list(tended), "is_over": is_over}
        return self._read(self._send("POST", "/commands/next", json=asked), NextCommand)

    def command_files(self, call: str) -> Manifest:
        """The workspace that a command runs in."""
        return self._get(f"/commands/{call}/files", Manifest)

    def command_blob(self, call: str, sha256: str, take: Callable[[Iterator[bytes]], None]) -> None:
        """Hand the bytes of one file of a command's workspace to `take`, as `get_blob` does."""
        _expect(self._send("GET", f"/commands/{call}/blobs/{sha256}", take=take))

    def put_outcome(self, call: str, pod_uid: str, outcome: Outcome) -> None:
        """Tell how a command ended."""
        body = json.dumps({"pod_uid": pod_uid, "outcome": outcome.model_dump(mode="json")}).encode()
        _expect(self._send("POST", f"/commands/{call}/outcome", content=body, headers=_JSON))

    def finish(self, report: FinishReport) -> int | None:
        """Report the end. None when it is accepted; else the log must be sent again from the offset returned."""
        response = self._send("POST", "/finish", content=_json(report), headers=_JSON)
        if response.status_code == HTTPStatus.CONFLICT:
            return _expected_offset(response)
        _expect(response)
        return None

    def _get(self, path: str, kind: type[R]) -> R:
        return self._read(self._send("GET", path), kind)

    def _read(self, response: httpx.Response, kind: type[R]) -> R:
        _expect(response)
        try:
            return kind.model_validate_json(response.content)
        except ValueError as error:
            request = response.request
            raise Refused(f"{request.method} {request.url.path}: no {kind.__name__}: {_detail(response)}") from error

    def _put_file(self, path: str, sha256: str, size: int, read: Callable[[], Iterable[bytes]]) -> httpx.Response:
        headers = {"X-Sha256": sha256, "Content-Length": str(size), "Content-Type": "application/octet-stream"}
        response = self._send("PUT", path, content=read, headers=headers)
        _expect(response, unwanted=True)
        return response

    def _send(
        self,
        method: str,
        path: str,
        written: float | None = None,
        content: Content | None = None,
        take: Callable[[Iterator[bytes]], None] | None = None,
        headers: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> httpx.Response:
        failures = 0
        while True:
            self._halt.check()
            body = content() if callable(content) else content
            if written is not None:
                headers = {**(headers or {}), "X-Log-Age": f"{max(0.0, time.monotonic() - written):.3f}"}
            asked = 0.0
            try:
                with self._http.stream(
                    method, self._path + path, content=body, headers=headers, **arguments
                ) as response:
                    if take is not None and response.is_success:
                        take(response.iter_bytes(_READ_BYTES))
                    else:
                        response.read()
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                if response.status_code == HTTPStatus.GONE:
                    self._halt.fence()
                    self._halt.check()
                if response.status_code < 500 and response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                    return response
                asked = retry_after_seconds(response)
                trouble = str(response.status_code)
            wait = max(asked, delay_seconds(failures, random.random()))
            log.info("call_failed", method=method, path=path, trouble=trouble, again_in_seconds=round(wait, 3))
            self._halt.wait(wait)
            failures += 1


def _json(record: Record) -> bytes:
    return record.model_dump_json(exclude_none=True).encode()


def _expect(response: httpx.Response, unwanted: bool = False) -> None:
    """Raises `Refused` unless the response is a success; with `unwanted`, `Unwanted` where only this one is refused."""
    if unwanted and response.status_code in _UNWANTED:
        raise Unwanted(_detail(response))
    if not response.is_success:
        raise Refused(f"{response.request.method} {response.request.url.path}: {_detail(response)}")


def _expected_offset(response: httpx.Response) -> int:
    offset = _answer(response).get("expected_offset")
    if not isinstance(offset, int):
        raise Refused(f"{response.request.method} {response.request.url.path}: no offset: {_detail(response)}")
    return offset


def _answer(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in the response. Raises `Refused`: whoever answers something else is not the API."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Refused(f"{response.request.method} {response.request.url.path}: no JSON object: {_detail(response)}")
    return answer


def _detail(response: httpx.Response) -> str:
    return f"{response.status_code} {response.text[:500]}"
