"""Hints through Celery's Redis transport."""

import time
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from services.core.hints import QUEUE, TASK, CeleryHints, celery_app
from tests.servers import RedisServer, wait_until


@pytest.fixture
def app(broker_url: str) -> Celery:
    return celery_app(broker_url)


def test_hints_wait_in_their_queue_until_they_are_taken(app: Celery) -> None:
    hints = CeleryHints(app)
    assert hints.backlog() == 0
    for run in ("r1", "r2", "r2"):
        hints.publish(run)
    assert hints.backlog() == 3


@pytest.fixture
def taken(app: Celery) -> Iterator[list[str]]:
    """What a worker has taken so far."""
    runs: list[str] = []

    @app.task(name=TASK, shared=False)
    def advance(run: str) -> None:
        runs.append(run)

    with start_worker(app, perform_ping_check=False, queues=[QUEUE], pool="solo"):
        yield runs


def test_a_worker_gets_the_runs_name_and_nothing_else(app: Celery, taken: list[str]) -> None:
    for run in ("r1", "r2"):
        CeleryHints(app).publish(run)
    wait_until(lambda: len(taken) == 2, message=f"both hints are taken, not {taken}")
    assert taken == ["r1", "r2"]
    assert CeleryHints(app).backlog() == 0


def test_a_worker_takes_hints_again_when_the_broker_is_back(
    app: Celery, taken: list[str], redis_server: RedisServer
) -> None:
    hints = CeleryHints(app)
    hints.publish("r1")
    wait_until(lambda: "r1" in taken)
    redis_server.kill()
    hints.publish("lost")
    redis_server.restart()
    hints.publish("r2")
    wait_until(lambda: "r2" in taken, timeout=30)
    assert "lost" not in taken


def test_a_broker_that_is_away_costs_the_caller_nothing(app: Celery, redis_server: RedisServer) -> None:
    hints = CeleryHints(app)
    hints.publish("r1")
    redis_server.kill()
    begun = time.monotonic()
    hints.publish("r2")
    assert hints.backlog() == 0
    # Not a measurement: a caller that waits for the broker waits for seconds, one that does not for milliseconds.
    assert time.monotonic() - begun < 2


def test_hints_go_on_when_the_broker_is_back(app: Celery, redis_server: RedisServer) -> None:
    hints = CeleryHints(app)
    hints.publish("r1")
    redis_server.restart()
    hints.publish("r2")
    hints.publish("r3")
    assert hints.backlog() == 3
