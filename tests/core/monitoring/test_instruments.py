"""One process's registry."""

import pytest

from services.core.monitoring.instruments import Registry
from services.core.monitoring.series import Series, counter, gauge, histogram

THINGS = counter("cohort_things_total", "Things.", "kind")
LEVEL = gauge("cohort_level", "A level.", "where")
SECONDS = histogram("cohort_thing_seconds", "Time.", buckets=(1, 2))


def test_what_is_named_beforehand_is_there_at_nothing_and_what_is_not_is_not() -> None:
    registry = Registry("api")
    registry.counter(THINGS, [("a",)])
    assert registry.value("cohort_things_total", {"kind": "a"}) == 0
    assert registry.value("cohort_things_total", {"kind": "b"}) is None


def test_values_are_counted_and_told_in_prometheus_own_text() -> None:
    registry = Registry("api")
    registry.counter(THINGS).labels("a").inc(2)
    registry.histogram(SECONDS).observe(1.5)
    text = registry.text().decode()
    assert 'cohort_things_total{kind="a"} 2.0' in text
    assert 'cohort_thing_seconds_bucket{le="2.0"} 1.0' in text
    assert "_created" not in text


def test_every_process_says_what_it_is_and_what_it_uses() -> None:
    text = Registry("worker").text().decode()
    assert 'cohort_build_info{service="worker",version="' in text
    for name in ("process_resident_memory_bytes", "process_open_fds", "python_gc_collections_total"):
        assert name in text


def test_two_processes_in_one_keep_their_series_apart() -> None:
    one, other = Registry("api"), Registry("api")
    one.counter(THINGS).labels("a").inc()
    other.counter(THINGS)
    assert other.value("cohort_things_total", {"kind": "a"}) is None


def test_a_series_is_what_it_was_declared_and_there_once() -> None:
    registry = Registry("api")
    with pytest.raises(ValueError, match="is a counter"):
        registry.gauge(THINGS)
    registry.counter(THINGS)
    with pytest.raises(ValueError, match="Duplicated"):
        registry.counter(THINGS)


def test_a_source_is_asked_at_each_scrape_and_may_leave_out_what_it_does_not_know() -> None:
    registry, asked = Registry("controller"), list[int]()
    known: dict[Series, list[tuple[tuple[str, ...], float]]] = {LEVEL: [(("here",), 3.0)]}

    def source() -> dict[Series, list[tuple[tuple[str, ...], float]]]:
        asked.append(1)
        return known

    registry.read((LEVEL,), source)
    before = len(asked)
    assert registry.value("cohort_level", {"where": "here"}) == 3
    known.clear()
    assert registry.value("cohort_level", {"where": "here"}) is None
    assert len(asked) == before + 2
    assert [one.name for one in registry.declared] == ["cohort_build_info", "cohort_level"]
