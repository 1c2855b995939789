"""CPU use between two readings."""

import pytest

from services.runner.observe import sample
from services.runner.spool import Usage


def usage(time: float, cpu_seconds: float) -> Usage:
    return Usage(time=time, rss_bytes=5, cpu_seconds=cpu_seconds, processes=1)


@pytest.mark.parametrize(
    ("before", "now", "percent"),
    [
        (None, usage(10, 4), None),
        (usage(10, 4), usage(12, 5), 50.0),
        (usage(10, 4), usage(12, 12), 400.0),
        (usage(10, 4), usage(12, 3), 0.0),
        (usage(10, 4), usage(10, 5), None),
    ],
)
def test_cpu_percent_is_of_the_time_between_readings(before: Usage | None, now: Usage, percent: float | None) -> None:
    assert sample(now, before).cpu_percent == percent
