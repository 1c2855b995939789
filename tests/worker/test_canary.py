"""A worker that takes nothing from the queue is found out; one that cannot is not blamed."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis

from services.core.hints import celery_app
from services.worker.canary import Canary
from tests.servers import bound_to_us, free_port, wait_until


@contextmanager
def singing(broker_url: str, is_full: bool = False) -> Iterator[Canary]:
    """A canary in a process where no worker takes anything."""
    with Canary(celery_app(broker_url), lambda: is_full, seconds=0.02, late_seconds=0.2) as canary:
        yield canary


def test_what_never_comes_back_is_trouble_until_the_worker_drains(broker_url: str) -> None:
    with singing(broker_url) as canary:
        assert wait_until(canary.trouble).startswith("no hint has come back")
        assert canary.age() > 0.2
        canary.stop()
        assert (canary.trouble(), canary.age()) == ("", 0)


def test_a_worker_without_room_is_not_late(broker_url: str) -> None:
    with singing(broker_url, is_full=True) as canary, redis.Redis.from_url(broker_url) as broker:
        # Longer than would be late, by its own clock.
        end = time.monotonic() + 0.5
        wait_until(lambda: time.monotonic() > end)
        assert (canary.trouble(), canary.age()) == ("", 0)
        assert not broker.exists(f"q:{canary.queue}")


def test_a_broker_that_is_away_is_not_the_workers_fault() -> None:
    with singing(f"redis://127.0.0.1:{free_port()}/1") as canary:
        end = time.monotonic() + 0.5
        wait_until(lambda: time.monotonic() > end)
        assert canary.trouble() == ""


def test_the_broker_forgets_the_queue_of_a_worker_that_is_gone(broker_url: str) -> None:
    with singing(broker_url) as canary, redis.Redis.from_url(broker_url) as broker:
        wait_until(lambda: broker.exists(f"q:{canary.queue}"))
        assert wait_until(lambda: broker.pttl(f"q:{canary.queue}") > 0)


@pytest.mark.slow
def test_a_worker_hears_its_own_hints(redis_url: str, broker_url: str, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "COHORT_REDIS_URL": redis_url,
        "COHORT_BROKER_URL": broker_url,
        "COHORT_ARTIFACT_URL": f"file://{tmp_path}/artifacts",
        "COHORT_STATE_DIR": str(tmp_path),
        "COHORT_WORKER_METRICS_PORT": str(port),
    }
    with subprocess.Popen(bound_to_us([sys.executable, "-m", "services.worker"]), env=environment) as worker:

        def ready() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
            except httpx.TransportError:
                return False

        wait_until(ready, timeout=60)
        with redis.Redis.from_url(broker_url) as broker, broker.monitor() as monitor:
            # What it sent is taken again.
            commands = (one["command"] for one in monitor.listen())
            queue = next(one for one in commands if one.startswith("LPUSH q:canary.")).split()[1]
        wait_until(lambda: _is_empty(broker_url, queue), timeout=15)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


def _is_empty(broker_url: str, queue: str) -> bool:
    with redis.Redis.from_url(broker_url) as broker:
        return not broker.llen(queue)
