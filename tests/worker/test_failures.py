"""What a provider's status and headers say about a call that failed."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.worker.failures import Failure, failure_of_status, retry_after


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (None, Failure.RUBBISH),
        (200, Failure.RUBBISH),
        (302, Failure.RUBBISH),
        (400, Failure.REFUSED),
        (401, Failure.AUTH),
        (402, Failure.CREDIT),
        (403, Failure.AUTH),
        (404, Failure.NO_MODEL),
        (408, Failure.TIMEOUT),
        (413, Failure.REFUSED),
        (422, Failure.REFUSED),
        (429, Failure.RATE_LIMITED),
        (500, Failure.OVERLOADED),
        (503, Failure.OVERLOADED),
        (529, Failure.OVERLOADED),
    ],
)
def test_a_status_stands_for_one_kind_of_failure(status: int | None, kind: Failure) -> None:
    assert failure_of_status(status) is kind


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("-3", 0.0),
        ("inf", float("inf")),
    ],
)
def test_retry_after_in_seconds(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (format_datetime(NOON + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOON - timedelta(seconds=90), usegmt=True), 0.0),
        ("Tue, 01 Jan 2030 12:00:30 -0000", 30.0),
        ("Tue, 01 Jan 2030 13:00:30 +0100", 30.0),
        ("Tue, 99 Jan 2030 12:00:30 GMT", None),
    ],
)
def test_retry_after_as_a_date(value: str, seconds: float | None) -> None:
    assert retry_after(value, now=NOON.timestamp()) == seconds
