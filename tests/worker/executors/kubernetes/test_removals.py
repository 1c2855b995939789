"""Jobs go many at a time, nobody waits for it, and what could not be deleted is not forgotten."""

import re
import threading

import pytest

from services.worker.executors import Held
from services.worker.executors.kubernetes.client import ClusterUnreachable
from services.worker.executors.kubernetes.metrics import Metrics
from services.worker.executors.kubernetes.removals import Removals
from tests.servers import wait_until


class Slow:
    """A cluster that deletes when it is let, and fails where it is told to."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.let.set()
        self.asked = threading.Event()
        self.failures = 0
        self.deleted: list[list[str]] = []

    def delete_all(self, kind: tuple[str, str], selector: str) -> None:
        self.asked.set()
        self.let.wait(30)
        if self.failures:
            self.failures -= 1
            raise ClusterUnreachable("it takes too long")
        named = re.fullmatch(r"cohort.dev/attempt in \((.*)\)", selector)
        assert named
        self.deleted.append(named[1].split(","))


@pytest.fixture
def cluster() -> Slow:
    return Slow()


def removals_on(cluster: Slow, *attempts: str) -> Removals:
    removals = Removals(cluster, Metrics())  # type: ignore[arg-type]
    for attempt in attempts:
        removals.add(attempt)
    return removals


def test_many_go_with_one_request_and_all_of_them_go(cluster: Slow) -> None:
    names = [f"r-{number:03d}" for number in range(60)]
    removals = removals_on(cluster, *names)
    removals.send()
    removals.stop()
    assert [len(batch) for batch in cluster.deleted] == [25, 25, 10]
    assert sorted(name for batch in cluster.deleted for name in batch) == names


def test_nobody_waits_for_a_cluster_that_is_slow(cluster: Slow) -> None:
    cluster.let.clear()
    removals = removals_on(cluster, "a")
    removals.send()
    assert cluster.asked.wait(30)
    removals.add("b")
    removals.send()
    assert "a" in removals
    assert cluster.deleted == []
    cluster.let.set()
    wait_until(lambda: cluster.deleted == [["a"], ["b"]])
    removals.stop()


def test_what_could_not_be_deleted_is_deleted_with_the_next_call(cluster: Slow) -> None:
    cluster.failures = 1
    removals = removals_on(cluster, "a", "b")
    removals.send()
    wait_until(lambda: not cluster.failures)
    wait_until(lambda: removals.send() or cluster.deleted)
    assert cluster.deleted == [["a", "b"]]
    removals.stop()


def test_a_name_is_free_when_its_job_is_gone(cluster: Slow) -> None:
    removals = removals_on(cluster, "a", "b")
    assert removals.staying({"a", "b", "c"}) == ["c"]
    with pytest.raises(Held):
        removals.settle("a", lambda: {"a"})
    removals.settle("a", lambda: {"b"})
    removals.settle("c", lambda: {"c"})
    assert ("a" in removals, "b" in removals) == (False, True)
    assert removals.staying(set()) == []
    assert "b" not in removals
    removals.stop()
