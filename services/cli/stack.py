"""Cohort on one machine: Redis, the API, a worker and the controller as processes, and a home for what they keep."""

import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from services.cli import leftovers
from services.cli.address import Address
from services.cli.client import ApiClient
from services.cli.home import Home, read_json, write_json, write_private
from services.cli.problems import Usage
from services.cli.programs import (
    HOST,
    Given,
    Ports,
    Secrets,
    embedded_program,
    redis_config,
    redis_program,
    redis_url,
    scripted_program,
    service_programs,
)
from services.cli.supervisor import StartFailed, Supervisor
from services.core.apikeys import ApiKeys, BadKey, Scope
from services.core.errors import StoreUnavailable
from services.core.redis import connect, translated
from services.core.settings import PREFIX

DEFAULT_PORT = 8470
TENANT = "local"
# Long enough for a machine that is busy with other things; a part that dies is told at once.
REDIS_SECONDS = 60.0
READY_SECONDS = 180.0
# What a service ends with where it cannot listen.
_CANNOT_LISTEN = 3
_TRIES = 3


@dataclass(frozen=True)
class Wishes:
    """What the user asked for. `port` 0: the last one, the usual one or any that is free, in this order."""

    given: Given = field(repr=False)
    port: int = 0
    scripted: bool = False


@dataclass(frozen=True)
class Stack:
    """A stack that is up."""

    home: Home
    address: Address
    ports: Ports
    supervisor: Supervisor


@contextmanager
def stack(home: Home, wishes: Wishes, say: Callable[[str], None]) -> Iterator[Stack]:
    """Start everything, hand it over when it is ready, and stop it in order at the end.

    Raises `Usage` where the home is in use or the port taken, `StartFailed` where a program does not come up.
    """
    home.make()
    with home.claimed():
        before = read_json(home.stack_file)
        _end_leftovers(before, say)
        running = _started(home, before, wishes, say)
        try:
            yield running
        finally:
            running.supervisor.stop()


def _started(home: Home, before: dict[str, object], wishes: Wishes, say: Callable[[str], None]) -> Stack:
    """Start everything; again with another port where somebody was quicker to take the one that was free."""
    tries = 0
    while True:
        tries += 1
        ports = _ports(before, wishes)
        supervisor = Supervisor(home.logs, say, lambda pids, ports=ports: _write_down(home, ports, pids))  # type: ignore[misc]
        try:
            return _started_at(home, ports, wishes, supervisor, say)
        except StartFailed as error:
            supervisor.stop()
            # Whoever took it may have given it back by now.
            if wishes.port or tries == _TRIES or error.exit_code != _CANNOT_LISTEN:
                raise
            say("a port was taken meanwhile; starting again with another one")
        except BaseException:
            supervisor.stop()
            raise


def _started_at(home: Home, ports: Ports, wishes: Wishes, supervisor: Supervisor, say: Callable[[str], None]) -> Stack:
    known = _secrets(home)
    server = shutil.which("redis-server")
    if server is None:
        say("no redis-server is installed: an embedded stand-in takes its place, without a password; it keeps nothing")
        supervisor.start(embedded_program(ports, wishes.given))
    else:
        write_private(home.redis_config, redis_config(home, ports, known))
        supervisor.start(redis_program(home, server, wishes.given))
    url = redis_url(ports, known)
    supervisor.wait_for("redis", lambda: _answers(url), REDIS_SECONDS)
    address = Address(ports.api_url, _local_key(home, url))
    write_json(home.client_file, {"url": address.url, "key": address.key})
    if wishes.scripted:
        supervisor.start(scripted_program(ports, wishes.given))
    for program in service_programs(home, ports, known, wishes.given):
        supervisor.start(program)
    with closing(ApiClient(address.url, address.key)) as api:
        supervisor.wait_for("api", api.is_ready, READY_SECONDS)
    if wishes.scripted:
        supervisor.wait_for("scripted", lambda: _listens(ports.scripted), READY_SECONDS)
    supervisor.watch()
    return Stack(home, address, ports, supervisor)


def _secrets(home: Home) -> Secrets:
    """The home's secrets, made at its first start."""
    known = read_json(home.secrets_file)
    if not known:
        known = {"runner": secrets.token_hex(32), "redis": secrets.token_hex(32)}
        write_json(home.secrets_file, known)
    return Secrets(runner=str(known["runner"]), redis=str(known["redis"]))


def _local_key(home: Home, url: str) -> str:
    """The key that was written down if it is still good, else a new one."""
    client = connect(url, client_name="cohort-up")
    try:
        keys = ApiKeys(client)
        known = str(read_json(home.client_file).get("key", ""))
        try:
            keys.check(known)
        except BadKey:
            return keys.create(TENANT, [Scope.ADMIN], "cohort up")[1]
        return known
    finally:
        client.close()


def _ports(before: dict[str, object], wishes: Wishes) -> Ports:
    # Programs of runs that went on while the stack was down know the API by its old port.
    if wishes.port:
        if not _is_free(wishes.port):
            raise Usage(f"port {wishes.port} is taken; give another with --port, or none")
        api = wishes.port
    else:
        api = next((port for port in (_number(before.get("api")), DEFAULT_PORT) if port and _is_free(port)), 0)
    fresh = iter(free_ports(5))
    # What Prometheus was told to scrape should still be there.
    redis, worker, controller = (
        next((port for port in _wanted(name, before, wishes) if port and _is_free(port)), 0) or next(fresh)
        for name in ("redis", "worker_metrics", "controller_metrics")
    )
    scripted = next(fresh) if wishes.scripted else 0
    return Ports(api or next(fresh), redis, scripted, worker_metrics=worker, controller_metrics=controller)


def _wanted(name: str, before: dict[str, object], wishes: Wishes) -> tuple[int, int]:
    """What the user's own setting says, and the port of the last time."""
    asked = wishes.given.tuning.get(f"{PREFIX}{name.upper()}_PORT", "")
    return int(asked) if asked.isdecimal() else 0, _number(before.get(name))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    probes = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except (OSError, OverflowError):
        return False
    return True


def _end_leftovers(before: dict[str, object], say: Callable[[str], None]) -> None:
    births = before.get("births")
    if isinstance(births, dict):
        ended = leftovers.end({int(pid): int(started) for pid, started in births.items()})
        if ended:
            say(f"ended {len(ended)} process(es) that an earlier start had left behind")


def _write_down(home: Home, ports: Ports, pids: dict[str, int]) -> None:
    births = {pid: birth for pid in pids.values() if (birth := leftovers.birth(pid)) is not None}
    listening = {"api": ports.api, "redis": ports.redis}
    listening |= {"worker_metrics": ports.worker_metrics, "controller_metrics": ports.controller_metrics}
    content = {**listening, "metrics": ports.metrics_urls, "pids": pids, "births": births}
    write_json(home.stack_file, content)


def _answers(url: str) -> bool:
    client = connect(url, client_name="cohort-up")
    try:
        with translated():
            return bool(client.ping())
    except StoreUnavailable:
        return False
    finally:
        client.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True
