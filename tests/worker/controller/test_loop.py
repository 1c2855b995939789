"""One leader at a time, rounds without end, and runs that nobody forgets."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.core import keys as key_names
from services.core.archive import Archive
from services.core.lifecycle import Status
from services.core.redis import Client, connect
from services.core.workspace import EMPTY
from services.keeping.prune import Pruner, Retention
from services.worker.controller.leader import Leadership
from services.worker.controller.loop import Controller, NotLeading
from services.worker.controller.news import News
from services.worker.executors import AttemptSpec, Phase
from tests.core.submitted import accept_run
from tests.servers import RedisServer, wait_until
from tests.worker.controller.cloud import Cloud, exit_record
from tests.worker.controller.conftest import Control


def leadership(client: Client, name: str, seconds: float = 30.0) -> Leadership:
    return Leadership(client, "controller", name, seconds)


def controller(control: Control, name: str = "one", pause: float = 30.0, lead: float = 30.0) -> Controller:
    return Controller(
        control.store,
        leadership(control.store.client, name, lead),
        control.reconciler,
        control.archivist,
        control.hints,
        News(),
        pause,
    )


class Running:
    """Controllers' loops in threads of this process, ended with the test."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, one: Controller) -> threading.Thread:
        thread = threading.Thread(target=one.run, args=(self._stopped,), daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def running(control: Control) -> Iterator[Running]:
    threads = Running()
    yield threads
    threads.stop()


# --- Leading ----------------------------------------------------------------------------------------------------------


def test_one_of_two_leads_and_the_other_takes_over_when_it_is_silent(client: Client) -> None:
    first, second = leadership(client, "a", 1.0), leadership(client, "b", 1.0)

    assert first.hold()
    assert first.hold()
    assert not second.hold()
    wait_until(second.hold, 5)
    assert not first.hold()


def test_a_leader_whose_store_is_away_leads_until_its_time_is_over(redis_server: RedisServer) -> None:
    # Half of its time is over before it asks again, and nobody answers.
    client = connect(redis_server.url)
    leader = leadership(client, "a", 1.5)
    assert leader.hold()
    redis_server.kill()

    wait_until(lambda: not leader.hold(), 20)

    client.close()


def test_a_leader_that_ends_is_followed_at_once(control: Control) -> None:
    stopped, other = threading.Event(), leadership(control.store.client, "other")
    one = controller(control, "one")
    assert one.leadership.hold() and not other.hold()
    thread = threading.Thread(target=one.run, args=(stopped,))
    thread.start()
    stopped.set()
    thread.join(10)
    assert other.hold()


def test_who_does_not_lead_takes_nothing_from_who_does(client: Client) -> None:
    first, second = leadership(client, "a"), leadership(client, "b")
    assert first.hold() and not second.hold()
    second.resign()
    assert not second.hold()


# --- Sweeping ---------------------------------------------------------------------------------------------------------


def test_runs_that_are_due_are_hinted_at_and_not_again_at_once(control: Control) -> None:
    runs = sorted(accept_run(control.store) for _ in range(20))
    one = controller(control)

    one.once()
    one.once()

    assert sorted(control.hints.heard) == runs


def test_a_run_whose_worker_died_is_hinted_at_when_its_lease_is_over(control: Control) -> None:
    run = accept_run(control.store)
    control.store.claim(run, "worker", 0.2)
    one = controller(control)
    one.once()
    assert control.hints.heard == []

    wait_until(lambda: one.once() or control.hints.heard, 10)

    assert control.hints.heard == [run]


def test_nothing_is_hinted_at_while_the_hints_before_are_not_taken(control: Control) -> None:
    accept_run(control.store)
    control.hints.waiting = 1_000

    controller(control).once()

    assert control.hints.heard == []


# --- Rounds -----------------------------------------------------------------------------------------------------------


def test_only_the_leader_works(control: Control, running: Running) -> None:
    assert leadership(control.store.client, "other").hold()
    control.submit()

    running.start(controller(control, pause=0.01))

    wait_until(lambda: control.store.client.hget(key_names.leader("controller"), "name") == b"other", 5)
    assert control.cloud.submitted == []


def test_an_announcement_makes_an_early_round(control: Control, running: Running) -> None:
    running.start(controller(control, pause=60.0))
    wait_until(lambda: control.store.client.pubsub_numsub("cohort:controller")[0][1], 10)

    attempt = control.submit()
    wait_until(lambda: control.cloud.submitted, 10)
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0))
    control.report(attempt)

    wait_until(lambda: control.attempts.live() == [], 10)


def test_news_that_comes_during_a_round_goes_before_the_rest_of_it(control: Control) -> None:
    class Telling(Cloud):
        def submit(self, spec: AttemptSpec) -> None:
            super().submit(spec)
            one.news.tell(last)

    control.cloud = Telling()
    one = controller(control)
    for _ in range(40):
        control.submit()
    last = control.attempts.live()[-1]

    one.once()

    order = [spec.attempt for spec in control.cloud.submitted]
    assert order.index(last) < 20
    assert sorted(order) == sorted(control.attempts.live())


def test_who_does_not_lead_does_nothing_and_forgets_what_came(control: Control) -> None:
    assert leadership(control.store.client, "other").hold()
    one = controller(control)
    one.news.tell(control.submit())

    with pytest.raises(NotLeading):
        one.once()

    assert control.cloud.submitted == []
    assert one.news.take() == {}


@pytest.mark.parametrize("error", [KeyError("a bug"), OSError("disk full")])
def test_a_round_that_goes_wrong_is_not_the_last(control: Control, running: Running, error: Exception) -> None:
    class Broken(type(control.cloud)):  # type: ignore[misc]
        def list(self) -> list[object]:
            if not control.hints.waiting:
                control.hints.waiting = 1
                raise error
            return []

    control.cloud = Broken()
    thread = running.start(controller(control, pause=0.01))
    wait_until(lambda: control.hints.waiting, 10)

    attempt = control.submit()

    wait_until(lambda: [spec.attempt for spec in control.cloud.submitted] == [attempt], 10)
    assert thread.is_alive()


def test_a_store_that_is_away_is_waited_out(control: Control, running: Running, redis_server: RedisServer) -> None:
    thread = running.start(controller(control, pause=0.05, lead=60.0))
    wait_until(lambda: control.store.client.hget(key_names.leader("controller"), "name") == b"one", 10)

    redis_server.restart()
    attempt = control.submit()

    wait_until(lambda: [spec.attempt for spec in control.cloud.submitted] == [attempt], 20)
    assert thread.is_alive()


def test_an_ended_run_is_archived_in_the_next_round(control: Control) -> None:
    run = control.accept()
    control.move(run, Status.SUCCEEDED)

    controller(control).once()

    assert control.store.ended() == []
    assert f"archive/{run}/state.json" in control.artifacts.list_named("archive/")


def test_a_round_lets_runs_leave_that_are_archived_and_old_enough(control: Control) -> None:
    run = accept_run(control.store, snapshot=EMPTY)
    control.move(run, Status.RUNNING, Status.SUCCEEDED)
    archive = Archive(control.artifacts)
    leading = replace(
        controller(control), retention=Retention(Pruner(control.store, archive), seconds=0.0, pause_seconds=0.0)
    )

    key = control.store.keys.run(run)
    wait_until(lambda: leading.once() or control.store.client.hexists(key, "pruned"))
    assert control.store.status(run) is Status.SUCCEEDED
    assert archive.state(run).run == run
    assert control.store.events(run) == []
