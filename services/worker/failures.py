"""How a model call can fail, and what a provider's answer says about that.

What a failure is follows from types, statuses and headers, never from its text.
"""

import math
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from enum import StrEnum

from services.core.errors import CohortError
from services.worker.prices import Usage


class Failure(StrEnum):
    """What kind of thing went wrong with a call."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNREACHABLE = "unreachable"
    """There was no connection, so nothing was sent."""
    CONNECTION = "connection"
    """The connection broke after the request was sent."""
    TIMEOUT = "timeout"
    RUBBISH = "rubbish"
    AUTH = "auth"
    CREDIT = "credit"
    REFUSED = "refused"
    NO_MODEL = "no_model"
    """The provider knows no model of that name."""
    CONTEXT = "context"
    INTERRUPTED = "interrupted"
    UNKNOWN_OUTCOME = "unknown_outcome"


_NOTHING_USED = Usage()


class ModelFailed(CohortError):
    """A call that gave no reply. `retry_after` is what the provider asked for, in seconds; `usage` what it says that
    the call used."""

    def __init__(
        self, kind: Failure, detail: str, retry_after: float | None = None, usage: Usage = _NOTHING_USED
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.retry_after = retry_after
        self.usage = usage


_BY_STATUS = {
    401: Failure.AUTH,
    402: Failure.CREDIT,
    403: Failure.AUTH,
    404: Failure.NO_MODEL,
    408: Failure.TIMEOUT,
    429: Failure.RATE_LIMITED,
}


def failure_of_status(status: int | None) -> Failure:
    """The kind of failure an HTTP status stands for; no status means that what came was no answer."""
    if status is None:
        return Failure.RUBBISH
    if status >= 500:
        return Failure.OVERLOADED
    if status < 400:
        return Failure.RUBBISH
    return _BY_STATUS.get(status, Failure.REFUSED)


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3); None for anything else.

    `now` is seconds since the epoch, the clock's unless given.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value, time.time() if now is None else now)
    return None if math.isnan(seconds) else max(0.0, seconds)


def _seconds_until(date: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except ValueError:
        return None


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error, and what led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
