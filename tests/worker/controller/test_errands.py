"""Errands are done side by side, one for each attempt, and an end never waits for beginnings."""

import threading
from collections.abc import Iterator

import pytest

from services.core.errors import StoreUnavailable
from services.worker.controller.errands import Errands
from tests.servers import wait_until


@pytest.fixture
def errands() -> Iterator[Errands]:
    errands = Errands()
    yield errands
    errands.stop()


@pytest.fixture
def closed() -> Iterator[threading.Event]:
    """A gate, opened at the end of the test."""
    gate = threading.Event()
    yield gate
    gate.set()


def fill(errands: Errands, gate: threading.Event, count: int = 100) -> list[str]:
    """Submissions that stand at the gate, more than there are hands."""
    names = [f"busy-{number}" for number in range(count)]
    for name in names:
        errands.submit(name, lambda: gate.wait(30) and None)
    return names


def test_an_end_is_done_while_many_submissions_stand_in_a_row(errands: Errands, closed: threading.Event) -> None:
    fill(errands, closed)
    done = threading.Event()
    errands.end("over", done.set)
    assert done.wait(30)
    wait_until(lambda: not errands.is_out("over"))


def test_an_attempt_has_one_errand_at_a_time(errands: Errands, closed: threading.Event) -> None:
    done: list[str] = []
    errands.submit("a", lambda: closed.wait(30) and done.append("first"))
    errands.submit("a", lambda: done.append("second"))
    errands.end("a", lambda: done.append("third"))
    assert errands.is_out("a")
    closed.set()
    errands.settle()
    wait_until(lambda: not errands.is_out("a"))
    assert done == ["first"]
    errands.end("a", lambda: done.append("fourth"))
    errands.settle()
    assert done == ["first", "fourth"]


def test_what_has_not_begun_can_be_called_off_and_what_has_cannot(errands: Errands, closed: threading.Event) -> None:
    begun = threading.Event()
    errands.submit("begun", lambda: begun.set() or (closed.wait(30) and None))
    assert begun.wait(30)
    *_, last = fill(errands, closed)
    assert errands.call_off("never heard of")
    assert errands.call_off(last)
    assert not errands.is_out(last)
    assert not errands.call_off("begun")
    assert errands.is_out("begun")


@pytest.mark.parametrize("error", [KeyError("a bug"), StoreUnavailable("away")])
def test_one_that_fails_is_over_and_harms_no_other(errands: Errands, error: Exception) -> None:
    def fail() -> None:
        raise error

    done = threading.Event()
    errands.submit("bad", fail)
    errands.submit("good", done.set)
    errands.settle()
    assert done.is_set()
    wait_until(lambda: not errands.is_out("bad"))


def test_stopping_finishes_what_has_begun_and_begins_nothing(closed: threading.Event) -> None:
    errands, done, begun = Errands(), [], threading.Event()
    errands.submit("begun", lambda: begun.set() or (closed.wait(30) and done.append("begun")))
    assert begun.wait(30)
    fill(errands, closed)
    errands.submit("late", lambda: done.append("late"))
    threading.Timer(0.05, closed.set).start()
    errands.stop()
    assert done == ["begun"]
    assert not errands.is_out("late")
