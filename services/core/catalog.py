"""Which runs a tenant has, newest first: the shards' indexes merged, filtered and cut into pages."""

import base64
import binascii
import heapq
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from services.core.errors import BadRequest, RunNotFound
from services.core.lifecycle import Status
from services.core.records import RunState
from services.core.redis import answered
from services.core.store import RunStore

MAX_PAGE = 200
# How many runs one call looks at for a page: a filter that fits nothing must not read a tenant's whole history at once.
MAX_LOOKED_AT = 1_000
_BATCH = 100
_CURSOR = re.compile(r"([0-9]{1,15})-(r[0-9a-z]{12})")

# A run's place in the listing: its creation in milliseconds and its id, which tells apart what began together.
Place = tuple[int, str]


@dataclass(frozen=True)
class Page:
    """Some runs. The rest begins at `next_cursor`; '' where there is none. A page before it may be empty."""

    items: list[RunState]
    next_cursor: str


class Catalog:
    """The runs of one install, by tenant."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    @answered
    def list_runs(
        self,
        tenant: str,
        status: Status | None = None,
        labels: Mapping[str, str] | None = None,
        text: str = "",
        cursor: str = "",
        limit: int = 50,
    ) -> Page:
        """A page of the tenant's runs, newest first. `text` is looked for in id, goal and summary, in any case.

        Raises `BadRequest` for a cursor that is none of ours or a limit beyond `MAX_PAGE`.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise BadRequest(f"limit must be 1 to {MAX_PAGE}", field="limit")
        places = self._places(tenant, status, _read_cursor(cursor) if cursor else None)
        items: list[RunState] = []
        for looked_at, place in enumerate(places, start=1):
            try:
                state = self._store.state(place[1])
            except RunNotFound:
                # Removed between the index and the look.
                continue
            if _fits(state, status, labels or {}, text.casefold()):
                items.append(state)
            if len(items) == limit or looked_at == MAX_LOOKED_AT:
                more = next(places, None) is not None
                return Page(items, _cursor(place) if more else "")
        return Page(items, "")

    def _places(self, tenant: str, status: Status | None, before: Place | None) -> Iterator[Place]:
        """Where the runs stand that come after `before` in the listing."""
        keys = self._store.keys
        shards = (self._shard(keys.tenant(tag, tenant, status or ""), before) for tag in keys.tags())
        return heapq.merge(*shards, reverse=True)

    def _shard(self, key: str, before: Place | None) -> Iterator[Place]:
        newest, start = "+inf" if before is None else before[0], 0
        while True:
            rows = self._store.client.zrevrangebyscore(
                key, newest, "-inf", start=start, num=_BATCH, withscores=True, score_cast_func=float
            )
            for name, score in rows:
                place = int(score), name.decode()
                if before is None or place < before:
                    yield place
            if len(rows) < _BATCH:
                return
            start += _BATCH


def _fits(state: RunState, status: Status | None, labels: Mapping[str, str], text: str) -> bool:
    # The index was read a moment before the state, so the status is asked again.
    if status is not None and state.status is not status:
        return False
    if any(state.labels.get(name) != value for name, value in labels.items()):
        return False
    return not text or any(text in part.casefold() for part in (state.run, state.goal, state.summary))


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place[0]}-{place[1]}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> Place:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise BadRequest("this is no cursor of ours: use `next_cursor` of the page before, unchanged", field="cursor")
    return int(match[1]), match[2]
