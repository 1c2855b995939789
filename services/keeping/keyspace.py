"""Every key of an install, read from its name. Walks Redis by SCAN, which holds nobody up and may name a key twice."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from services.core.redis import Client, translated

T = TypeVar("T")
_SCANNED = 1_000
_BATCH = 200
_SHARDED = re.compile(r"\{(c\d\d)\}:(run|attempt|sandbox|tenant|researches|due|ended|archived|attempts)(?::(.+))?")
_TENANTS = re.compile(r"\{t:([^}]+)\}:(.+)")
_KEYS = re.compile(r"\{keys\}:([0-9a-z]{12})")


@dataclass(frozen=True)
class Named:
    """A key, taken apart. `kind` is its second word (`run`, `due`, …), `account` for what a tenant has, `key` for an
    API key; `rest` what follows: an id, a tenant, and whatever is behind it."""

    key: str
    kind: str
    tag: str = ""
    rest: str = ""

    @property
    def owner(self) -> str:
        """The run, attempt or tenant that the key belongs to."""
        return self.rest.split(":", 1)[0]

    @property
    def part(self) -> str:
        """Which part of it this is, '' for the thing itself."""
        return self.rest.partition(":")[2]


def named(key: str) -> Named | None:
    """The key taken apart; None for one that is none of Cohort's."""
    if found := _SHARDED.fullmatch(key):
        return Named(key, found[2], f"{{{found[1]}}}", found[3] or "")
    if found := _TENANTS.fullmatch(key):
        return Named(key, "account", rest=f"{found[1]}:{found[2]}")
    if found := _KEYS.fullmatch(key):
        return Named(key, "key", rest=found[1])
    return None


def walk(client: Client, pattern: str = "*") -> Iterator[Named]:
    """Every key of Cohort's there is from beginning to end of the walk. Raises `StoreUnavailable`."""
    with translated():
        for key in client.scan_iter(match=pattern, count=_SCANNED):
            if (found := named(key.decode("utf-8", "replace"))) is not None:
                yield found


def members(client: Client, key: str) -> Iterator[str]:
    """The entries of an index."""
    with translated():
        for member, _ in client.zscan_iter(key, count=_SCANNED):
            yield member.decode("utf-8", "replace")


def fields_of(client: Client, names: Sequence[str], *fields: str) -> list[list[str | None]]:
    """The fields of many hashes at once; None for each that is not there."""
    with translated(), client.pipeline(transaction=False) as asked:
        for name in names:
            asked.hmget(name, *fields)
        return [[None if value is None else value.decode() for value in row] for row in asked.execute()]


def batches(items: Iterable[T], size: int = _BATCH) -> Iterator[list[T]]:
    """The items, so many at a time."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
