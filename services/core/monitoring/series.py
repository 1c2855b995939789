"""A series as it is declared: its name, its type, what it means, its labels. Pure: nothing counts here."""

from dataclasses import dataclass
from enum import StrEnum

WAITS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
"""Buckets for what takes from moments to a day, in seconds."""

MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Buckets for what should take no longer than one notices, in seconds."""

OTHER = "other"
"""The label of all that has no place of its own."""


class Kind(StrEnum):
    """What Prometheus makes of a series' values."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, eq=False)
class Series:
    """All series of one name. `meaning` is a sentence. A declaration equals itself alone."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def counter(name: str, meaning: str, *labels: str) -> Series:
    """What only grows. `name` ends in `_total`."""
    return Series(name, Kind.COUNTER, meaning, labels)


def gauge(name: str, meaning: str, *labels: str) -> Series:
    """What grows and shrinks."""
    return Series(name, Kind.GAUGE, meaning, labels)


def histogram(name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = WAITS) -> Series:
    """How often something was how much."""
    return Series(name, Kind.HISTOGRAM, meaning, labels, buckets)
