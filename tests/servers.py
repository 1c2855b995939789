"""Real servers for the tests: each on a free port, with a directory of its own, gone with the tests' process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import redis

T = TypeVar("T")
_START_TRIES = 5
_START_SECONDS = 20


def wait_until(condition: Callable[[], T], timeout: float = 10.0, message: str = "", pause: float = 0.01) -> T:
    """Ask `condition` until its answer is true and return that. Fails after `timeout` seconds, saying `message`."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {message or condition}")
        time.sleep(pause)


def free_port() -> int:
    """A TCP port nobody listens on at this moment. Another process may still be quicker to take it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str, package: str) -> str:
    """The path of a program the tests need. Fails, rather than skips, where it is missing."""
    path = shutil.which(name)
    if path is None:
        raise AssertionError(f"{name} is not on the PATH: `make test` installs it (Debian package {package})")
    return path


def bound_to_us(command: Sequence[str]) -> list[str]:
    """`command`, killed by the kernel when this process dies, however it dies. Start it from a thread that stays."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)


class RedisServer:
    """A redis-server that keeps its data in an append-only file, and that may be killed, restarted and paused."""

    def __init__(self, directory: Path, password: str = "") -> None:
        self._directory = directory
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """The URL of one of the sixteen databases; FLUSHALL empties all of them."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *options: str) -> None:
        """Start on a free port: at first any, later always the same one. `options` are the server's own."""
        for _ in range(_START_TRIES):
            port = self.port or free_port()
            if self._started(port, options):
                self.port = port
                return
        raise AssertionError(f"redis-server does not start: {self._log()}")

    def kill(self) -> None:
        """SIGKILL: what was accepted is in the append-only file, all else is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Kill it where it still runs and start it on its data and its port. Returns when it answers."""
        self.kill()
        self.start()

    def back_up(self, target: Path) -> None:
        """Write what it holds now to a file, as one would from another machine."""
        command = [program("redis-cli", "redis-tools"), "-p", str(self.port), "--rdb", str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def lose(self) -> None:
        """Kill it, and its disk with it."""
        self.kill()
        shutil.rmtree(self._directory)

    def restore(self, backup: Path) -> None:
        """Start it on such a file, and have it keep an append-only file again."""
        self._directory.mkdir(parents=True)
        shutil.copyfile(backup, self._directory / "dump.rdb")
        self.start("--appendonly", "no")
        with redis.Redis(port=self.port) as client:
            client.config_set("appendonly", "yes")
            wait_until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0, message="the AOF is whole")

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def _started(self, port: int, options: Sequence[str]) -> bool:
        self._directory.mkdir(parents=True, exist_ok=True)
        command = [program("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._directory), "--logfile", "redis.log", "--loglevel", "notice", "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "always", *options]
        command += ["--requirepass", self._password, "--masterauth", self._password] if self._password else []
        self._process = process = subprocess.Popen(bound_to_us(command), stdin=subprocess.DEVNULL)

        def answers_or_is_gone() -> bool:
            return process.poll() is not None or pid_of_redis(port, self._password) == process.pid

        try:
            wait_until(answers_or_is_gone, _START_SECONDS, "redis-server answers")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._log()}") from None
        return process.poll() is None

    def _log(self) -> str:
        path = self._directory / "redis.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else "it wrote no log"


class EmbeddedRedis:
    """What stands in for Redis where none is installed; it keeps nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "services.cli.embedded", "--port", str(self.port)]
        self._process = subprocess.Popen(bound_to_us(command), stdin=subprocess.DEVNULL)
        wait_until(self._answers, _START_SECONDS, "the embedded Redis answers")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the embedded Redis ended"
        with redis.Redis(port=self.port, socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


class RedisCluster:
    """Three masters on this machine that share the 16,384 slots of a Redis Cluster."""

    def __init__(self, directory: Path) -> None:
        self._nodes = [RedisServer(directory / str(number)) for number in range(3)]
        for node in self._nodes:
            node.start("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
        addresses = [f"127.0.0.1:{node.port}" for node in self._nodes]
        command = [program("redis-cli", "redis-tools"), "--cluster", "create", *addresses, "--cluster-yes"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
        wait_until(lambda: all(map(self._is_whole, self._nodes)), _START_SECONDS, "every node sees the cluster whole")

    @property
    def url(self) -> str:
        return self._nodes[0].url

    def flush(self) -> None:
        """Empty every node."""
        for node in self._nodes:
            with redis.Redis(port=node.port) as client:
                client.flushall()

    def stop(self) -> None:
        for node in self._nodes:
            node.kill()

    @staticmethod
    def _is_whole(node: RedisServer) -> bool:
        with redis.Redis(port=node.port, decode_responses=True) as client:
            info = client.execute_command("CLUSTER INFO")
        return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3"


def pid_of_redis(port: int, password: str = "") -> int | None:
    """The process that answers on `port` once its data is loaded: a port may have been taken by somebody else."""
    with redis.Redis(port=port, password=password or None, socket_timeout=2, socket_connect_timeout=2) as client:
        try:
            if client.info("persistence")["loading"]:
                return None
            return int(client.info("server")["process_id"])
        except redis.RedisError:
            return None
