"""Redis dies while runs are written. What was answered is there afterwards; what was not can be sent again."""

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.cli.home import Home
from services.cli.programs import Ports, Secrets, redis_config, redis_url
from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.errors import Stale, StoreUnavailable
from services.core.fold import first_state, fold_all
from services.core.keys import Keys, new_run_id
from services.core.lifecycle import Status
from services.core.payload import Payloads
from services.core.redis import connect
from services.core.store import Draft, Lease, RunStore
from tests.core.examples import accepted, message, moved
from tests.servers import RedisServer, bound_to_us, free_port, pid_of_redis, program, wait_until

WRITERS = 4


def say(store: RunStore, run: str, name: str) -> None:
    store.record(run, name, lambda _: Draft((message(message_id=name),)))


def said(store: RunStore, run: str) -> list[str]:
    return [event.data.message_id for event in store.events(run) if isinstance(event.data, ev.MessageReceived)]


@pytest.mark.parametrize("round_", range(3))
def test_a_killed_redis_loses_nothing_it_accepted_and_repeats_nothing(
    store: RunStore, redis_server: RedisServer, round_: int
) -> None:
    run = new_run_id()
    store.create(run, "request", accepted())
    answered: list[list[str]] = [[] for _ in range(WRITERS)]
    unanswered: list[str] = []

    def write_until_redis_dies(writer: int) -> None:
        for number in range(100_000):
            name = f"{writer}:{number}"
            try:
                say(store, run, name)
            except StoreUnavailable:
                unanswered.append(name)
                return
            except Stale:
                continue
            answered[writer].append(name)

    with ThreadPoolExecutor(WRITERS) as pool:
        jobs = [pool.submit(write_until_redis_dies, writer) for writer in range(WRITERS)]
        wait_until(lambda: sum(map(len, answered)) > 100 * (round_ + 1))
        redis_server.kill()
        for job in jobs:
            job.result()
    redis_server.restart()

    accepted_names = {name for names in answered for name in names}
    assert len(unanswered) == WRITERS
    assert accepted_names <= set(said(store, run)) <= accepted_names | set(unanswered)
    for name in unanswered:
        say(store, run, name)
    assert sorted(said(store, run)) == sorted(accepted_names | set(unanswered))
    first, *rest = store.events(run, limit=10_000)
    assert [event.seq for event in rest] == list(range(2, len(rest) + 2))
    assert isinstance(first.data, ev.RunAccepted)
    assert store.state(run) == fold_all(first_state(run, first.data, first.time), rest)


def test_a_lease_outlives_the_redis_that_gave_it(store: RunStore, redis_server: RedisServer) -> None:
    run = new_run_id()
    store.create(run, "request", accepted())
    lease = store.claim(run, "worker", 60)
    assert isinstance(lease, Lease)
    redis_server.restart()
    assert store.renew(lease, 60) is Status.QUEUED
    store.append(lease, store.state(run), Draft((moved(Status.QUEUED, Status.RUNNING),)))
    assert store.state(run).status is Status.RUNNING


def test_what_was_answered_is_there_though_the_disk_was_slow_when_redis_was_killed(
    tmp_path: Path, artifacts: ArtifactStore
) -> None:
    """With the settings that `cohort up` gives it, which are those of the chart. Each `fdatasync` takes 0.3 s here."""
    home, ports, secrets = (
        Home(tmp_path / "home"),
        Ports(api=1, redis=free_port()),
        Secrets(runner="x", redis="hunter2"),
    )
    home.make()
    home.redis_config.write_text(redis_config(home, ports, secrets))
    server = [program("redis-server", "redis-server"), str(home.redis_config)]
    slow = [program("strace", "strace"), "-f", "-qq", "-o", str(tmp_path / "strace"), "-e", "trace=fdatasync"]
    client = connect(redis_url(ports, secrets))
    store, run, answered = RunStore(client, Keys(), Payloads(artifacts)), new_run_id(), 0
    with subprocess.Popen(bound_to_us([*slow, "-e", "inject=fdatasync:delay_enter=300000", *server])) as strace:
        wait_until(lambda: pid_of_redis(ports.redis, secrets.redis), 30, "redis-server answers")
        store.create(run, "request", accepted())
        ends = time.monotonic() + 2.0
        while time.monotonic() < ends:
            say(store, run, str(answered))
            answered += 1
        killed = pid_of_redis(ports.redis, secrets.redis)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        strace.wait(30)
    with subprocess.Popen(bound_to_us(server)) as again:
        wait_until(lambda: pid_of_redis(ports.redis, secrets.redis), 30, "redis-server answers")
        assert said(store, run) == [str(number) for number in range(answered)]
        assert answered > 1
        again.kill()
    client.close()


def test_a_redis_that_hangs_is_waited_for(store: RunStore, redis_server: RedisServer) -> None:
    run = new_run_id()
    store.create(run, "request", accepted())
    redis_server.pause()
    done = threading.Event()

    def say_and_tell() -> None:
        say(store, run, "1")
        done.set()

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(say_and_tell)
        assert not done.wait(0.2)
        redis_server.resume()
        job.result()
    assert said(store, run) == ["1"]
