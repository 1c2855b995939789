"""What is kept of a namespace: the list is the truth, the watch only makes it early."""

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.worker.executors.kubernetes.client import (
    JOBS,
    SILENT_SECONDS,
    ClusterUnreachable,
    Listed,
    Refused,
)
from services.worker.executors.kubernetes.watching import Watched
from tests.servers import wait_until

Change = tuple[str, dict[str, Any]]


def body(name: str, version: int, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}, **fields}


class Answers:
    """A cluster that answers lists and watches as the test wrote them down, and then has no more to say."""

    def __init__(self, lists: list[Any], watches: list[Any]) -> None:
        self.lists, self.watches = lists, watches
        self.watched_from: list[str] = []
        self.seconds: list[int] = []
        self.ended = threading.Event()

    def list(self, kind: Any, selector: str, trim: Callable[[Any], Any]) -> Listed:
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, Exception):
            raise answer
        return Listed(list(map(trim, answer)), "100")

    def watch(self, kind: Any, version: str, seconds: int, selector: str) -> Any:
        self.watched_from.append(version)
        self.seconds.append(seconds)
        return Changes(self.watches.pop(0) if self.watches else [], self.ended, is_last=not self.watches)


class Changes:
    """One watch."""

    def __init__(self, changes: list[Any], ended: threading.Event, is_last: bool) -> None:
        self.changes, self.ended, self.is_last = changes, ended, is_last

    def __iter__(self) -> Iterator[Change]:
        for change in self.changes:
            if isinstance(change, Exception):
                raise change
            yield change
        if self.is_last:
            self.ended.wait(30)

    def stop(self) -> None:
        self.ended.set()

    def close(self) -> None:
        pass


@pytest.fixture
def running() -> Iterator[list[Watched]]:
    started: list[Watched] = []
    yield started
    for watched in started:
        watched.stop()


def watch(
    running: list[Watched],
    lists: list[Any],
    watches: list[Any],
    keeps_gone: bool = False,
    told: Callable[[str], None] = lambda _: None,
    listed: Callable[[str], None] = lambda _: None,
) -> Watched:
    answers: Any = Answers(lists, watches)
    watched = Watched(answers, JOBS, "", lambda one: one, lambda one: str(one["metadata"]["name"]), keeps_gone)
    watched.tell(told)
    watched.count(listed)
    watched.answers = answers  # type: ignore[attr-defined]
    watched.start()
    running.append(watched)
    assert watched.await_sync(10)
    return watched


def test_changes_after_the_list_are_taken_in_and_the_watch_goes_on_from_the_last(running: list[Watched]) -> None:
    first = [("ADDED", body("b", 101)), ("DELETED", body("a", 102)), ("BOOKMARK", body("", 150))]
    watched = watch(running, [[body("a", 1)]], [first, [("MODIFIED", body("b", 151, new=True))]])
    wait_until(lambda: watched.of("b") and watched.of("b")[0].body.get("new"))
    assert watched.groups() == {"b"}
    assert watched.answers.watched_from == ["100", "150"]  # type: ignore[attr-defined]


def test_who_asked_is_told_where_something_changed_once_it_can_be_seen(running: list[Watched]) -> None:
    told: list[str] = []
    changes = [("MODIFIED", body("a", 101)), ("ADDED", body("b", 102)), ("BOOKMARK", body("", 150))]
    watch(running, [[body("a", 1)]], [[*changes, ("DELETED", body("b", 151))]], told=told.append)
    wait_until(lambda: told == ["a", "b", "b"])


@pytest.mark.parametrize("has_bookmarks", [True, False])
def test_what_has_nothing_to_say_is_asked_again_before_it_counts_as_dead(has_bookmarks: bool) -> None:
    answers: Any = Answers([[]], [[]] * 20)
    watched = Watched(answers, JOBS, "", dict, str, has_bookmarks=has_bookmarks)
    watched.start()
    wait_until(lambda: len(answers.seconds) == 20)
    watched.stop()
    assert all((seconds > SILENT_SECONDS) is has_bookmarks for seconds in answers.seconds)


def test_what_expired_is_listed_again_and_what_was_missed_is_gone(running: list[Watched]) -> None:
    lists = [[body("a", 1), body("b", 2)], [body("b", 2), body("c", 3)]]
    watched = watch(running, lists, [[Refused("watch", 410, {})], []])
    wait_until(lambda: watched.groups() == {"b", "c"})


def test_an_object_that_was_deleted_is_remembered_where_that_is_wanted(running: list[Watched]) -> None:
    watched = watch(running, [[body("a", 1)]], [[("DELETED", body("a", 101, last=True))]], keeps_gone=True)
    wait_until(lambda: watched.of("a")[0].is_gone)
    assert watched.of("a")[0].body["last"]
    assert watched.groups() == set()
    watched.forget_but(set())
    assert watched.of("a") == []


def test_an_answer_of_ours_never_undoes_what_the_watch_said_since(running: list[Watched]) -> None:
    watched = watch(running, [[body("a", 5, state="new")]], [])
    watched.put(body("a", 4, state="old"))
    assert watched.of("a")[0].body["state"] == "new"
    watched.put(body("a", 6, state="newer"))
    assert watched.of("a")[0].body["state"] == "newer"


def test_a_cluster_that_does_not_answer_is_not_seen_until_it_does(running: list[Watched]) -> None:
    away = ClusterUnreachable("away")
    watched = watch(running, [[body("a", 1)], away, [body("a", 1)]], [[away], []])
    wait_until(lambda: watched.blind_seconds > 0)
    assert watched.groups() == {"a"}
    wait_until(lambda: watched.blind_seconds == 0)


def test_a_cluster_that_shows_us_nothing_any_more_is_quoted_until_it_does(running: list[Watched]) -> None:
    away = ClusterUnreachable("away")
    forbidden = Refused("read jobs", 403, {"message": "jobs.batch is forbidden"})
    watched = watch(running, [[body("a", 1)], forbidden, [body("a", 1)]], [[away], []])
    wait_until(lambda: "jobs.batch is forbidden" in watched.refusal)
    wait_until(lambda: watched.blind_seconds == 0)
    assert watched.refusal == ""


def test_every_list_is_told_with_its_reason(running: list[Watched]) -> None:
    reasons: list[str] = []
    away, forbidden = ClusterUnreachable("away"), Refused("read jobs", 403, {"message": "no"})
    lists = [[body("a", 1)], [body("a", 1)], away, forbidden, [body("a", 1)]]
    watch(running, lists, [[Refused("watch", 410, {})], [ValueError("rubbish")], []], listed=reasons.append)
    wait_until(lambda: reasons == ["start", "expired", "refused"])


def test_a_cluster_that_has_nothing_to_say_grows_old_until_it_speaks(running: list[Watched]) -> None:
    watched = watch(running, [[body("a", 1)]], [])
    assert wait_until(lambda: watched.age_seconds > 0.05)
    busy = watch(running, [[body("a", 1)]], [[("BOOKMARK", body("", number)) for number in range(3)]] * 2000)
    ages = {busy.age_seconds for _ in range(50)}
    assert min(ages) < watched.age_seconds


def test_what_the_cluster_never_shows_us_has_no_age(running: list[Watched]) -> None:
    answers: Any = Answers([Refused("read nodes", 403, {"message": "no"})], [])
    watched = Watched(answers, JOBS, "", dict, str)
    running.append(watched)
    watched.start()
    wait_until(lambda: watched.refusal)
    assert math.isnan(watched.age_seconds)
