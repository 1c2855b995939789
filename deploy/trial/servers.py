"""What a trial has on this machine: a Redis with a password, and the scripted model. Both end with this process."""

import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

_START_SECONDS = 20.0
_BOUND_TO_US = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True)
class RedisAddress:
    """Where it listens, and what opens it."""

    host: str
    port: int
    password: str = field(repr=False)

    def url(self, database: int) -> str:
        """One of its databases."""
        return f"redis://:{self.password}@{self.host}:{self.port}/{database}"


@contextmanager
def redis_server(directory: Path, host: str) -> Iterator[RedisAddress]:
    """A redis-server that keeps its data in an append-only file in `directory`."""
    address = RedisAddress(host, _free_port(host), secrets.token_hex(16))
    settings = {
        "bind": host,
        "port": address.port,
        "requirepass": address.password,
        "dir": directory,
        "logfile": "redis.log",
        "appendonly": "yes",
        "save": '""',
    }
    # By stdin: everybody may read what a program was started with.
    with _started(["redis-server", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin
        process.stdin.write("".join(f"{name} {value}\n" for name, value in settings.items()))
        process.stdin.close()
        _await(address, process)
        yield address


@contextmanager
def scripted_model(host: str, playbooks: Path) -> Iterator[str]:
    """The address of a scripted model's API."""
    command = [sys.executable, "-m", "services.scripted", "--host", host, "--port", "0", "--playbooks", str(playbooks)]
    with _started(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"http://\S+/v1", line)
        if found is None:
            raise RuntimeError(f"the scripted model did not start: {line!r}")
        yield found[0]


@contextmanager
def _started(command: Sequence[str], **streams: int) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([*_BOUND_TO_US, *command], text=True, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def _await(address: RedisAddress, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    with redis.Redis.from_url(address.url(0), socket_timeout=2) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(0.05)
            else:
                return
    raise RuntimeError("redis-server did not start")


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
