import pytest

from services.core import events as ev
from services.core.catalog import MAX_LOOKED_AT, Catalog
from services.core.errors import BadRequest
from services.core.keys import Keys
from services.core.lifecycle import Status
from services.core.redis import Client
from services.core.research import Parent
from services.core.store import Draft, RunStore
from tests.core.submitted import accept_run


@pytest.fixture
def catalog(store: RunStore) -> Catalog:
    return Catalog(store)


def cancel(store: RunStore, run: str) -> None:
    moved = ev.StatusChanged(source=Status.QUEUED, target=Status.CANCELLING)
    store.record(run, "cancel", lambda _: Draft((moved,)))


def pages(catalog: Catalog, **filters: object) -> list[list[str]]:
    """All pages of tenant acme, as run ids."""
    found, cursor = [], ""
    while True:
        page = catalog.list_runs("acme", cursor=cursor, **filters)  # type: ignore[arg-type]
        found.append([state.run for state in page.items])
        cursor = page.next_cursor
        if not cursor:
            return found


def test_the_pages_together_are_all_runs_newest_first(catalog: Catalog, store: RunStore) -> None:
    runs = [accept_run(store) for _ in range(23)]
    accept_run(store, tenant="umbrella")
    found = pages(catalog, limit=5)
    assert [len(page) for page in found] == [5, 5, 5, 5, 3]
    assert sorted(run for page in found for run in page) == sorted(runs)
    created = [store.state(run).created for page in found for run in page]
    assert [int(time * 1000) for time in created] == sorted((int(time * 1000) for time in created), reverse=True)


def test_runs_of_the_same_millisecond_are_listed_once_each(
    catalog: Catalog, store: RunStore, client: Client, keys: Keys
) -> None:
    runs = [accept_run(store) for _ in range(30)]
    for run in runs:
        client.zadd(keys.tenant(keys.tag(run), "acme"), {run: 1_700_000_000_000})
    assert sorted(run for page in pages(catalog, limit=4) for run in page) == sorted(runs)


def test_a_run_that_comes_while_somebody_pages_shifts_nothing(catalog: Catalog, store: RunStore) -> None:
    runs = [accept_run(store) for _ in range(6)]
    first = catalog.list_runs("acme", limit=3)
    accept_run(store)
    second = catalog.list_runs("acme", limit=3, cursor=first.next_cursor)
    assert sorted(state.run for state in first.items + second.items) == sorted(runs)


def test_filters_are_by_status_labels_and_text(catalog: Catalog, store: RunStore) -> None:
    digits = accept_run(store, goal="Train on DIGITS", labels={"team": "vision", "pr": "7"})
    words = accept_run(store, goal="Train on Straße", labels={"team": "text"})
    cancel(store, words)
    assert pages(catalog, status=Status.CANCELLING) == [[words]]
    assert pages(catalog, status=Status.SUCCEEDED) == [[]]
    assert pages(catalog, labels={"team": "vision"}) == [[digits]]
    assert pages(catalog, labels={"team": "vision", "pr": "8"}) == [[]]
    assert pages(catalog, text="digits") == [[digits]]
    assert pages(catalog, text="STRASSE") == [[words]]
    assert pages(catalog, text=digits[3:]) == [[digits]]


def test_a_filter_that_fits_little_gives_short_pages_and_goes_on(
    catalog: Catalog, store: RunStore, client: Client, keys: Keys
) -> None:
    wanted = accept_run(store, goal="the needle")
    tag = keys.tags()[0]
    hay = {f"r{number:012d}": 1_900_000_000_000 + number for number in range(MAX_LOOKED_AT + 10)}
    client.zadd(keys.tenant(tag, "acme"), hay)
    some = accept_run(store, goal="hay")
    snapshot, seq = client.hmget(keys.run(some), "snapshot", "seq")
    for run in hay:
        client.hset(keys.run(run), mapping={"snapshot": snapshot, "seq": seq})
    found = pages(catalog, text="needle", limit=5)
    assert found == [[], [wanted]]


@pytest.mark.parametrize("cursor", ["garbage", "!!", "MTIz", "a" * 500, "\0", "é", "OTk5OTk5OTk5OTk5OTk5OTk5LXJhYQ"])
def test_a_cursor_that_is_none_of_ours_is_refused(catalog: Catalog, cursor: str) -> None:
    with pytest.raises(BadRequest) as refused:
        catalog.list_runs("acme", cursor=cursor)
    assert refused.value.field == "cursor"


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_has_a_size_within_bounds(catalog: Catalog, limit: int) -> None:
    with pytest.raises(BadRequest):
        catalog.list_runs("acme", limit=limit)


def test_a_run_that_was_removed_is_passed_over(catalog: Catalog, store: RunStore, client: Client, keys: Keys) -> None:
    gone, left = accept_run(store), accept_run(store)
    client.delete(keys.run(gone))
    assert pages(catalog) == [[left]]


def test_a_research_stands_in_no_listing_of_goals(catalog: Catalog, store: RunStore) -> None:
    run = accept_run(store)
    research = accept_run(store, parent=Parent(run=run, tool_call_id="call_1_0"))
    cancel(store, research)

    assert pages(catalog) == [[run]]
    assert pages(catalog, status=Status.CANCELLING) == [[]]
    tag = store.keys.tag(research)
    listed = [
        store.client.zscore(store.keys.researches(tag, "acme", status), research) for status in ("", "cancelling")
    ]
    assert all(listed)
    assert store.client.zscore(store.keys.researches(tag, "acme", "queued"), research) is None
