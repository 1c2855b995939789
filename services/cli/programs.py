"""The programs of a stack on one machine: what each is started with. Pure.

Secrets travel in files only their owner reads (Redis) or in the environment (our own services), never in arguments.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.cli.home import Home

HOST = "127.0.0.1"
_STATE_DATABASE, _BROKER_DATABASE = 0, 1
# Else glibc keeps a heap for every thread that ever was, and none of them gives back what it had at its fullest.
_HEAPS = {"MALLOC_ARENA_MAX": "2"}


@dataclass(frozen=True)
class Program:
    """Something to start. `environ` is everything it gets."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Ports:
    """Where the parts listen on this machine. `scripted` is 0 where there is none; what ends in `metrics` is where a
    part without an API of its own answers Prometheus."""

    api: int
    redis: int
    scripted: int = 0
    worker_metrics: int = 0
    controller_metrics: int = 0

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api}"

    @property
    def scripted_url(self) -> str:
        return f"http://{HOST}:{self.scripted}/v1"

    @property
    def metrics_urls(self) -> dict[str, str]:
        """What Prometheus is to scrape, by part."""
        ports = {"api": self.api, "worker": self.worker_metrics, "controller": self.controller_metrics}
        return {part: f"http://{HOST}:{port}/metrics" for part, port in ports.items()}


@dataclass(frozen=True)
class Secrets:
    """What the parts of one home share and nobody else knows."""

    runner: str = field(repr=False)
    redis: str = field(repr=False)


@dataclass(frozen=True)
class Given:
    """What comes from the user's environment; see `environment`."""

    bare: Mapping[str, str]
    tuning: Mapping[str, str]
    provider: Mapping[str, str] = field(repr=False)


def redis_url(ports: Ports, secrets: Secrets, database: int = _STATE_DATABASE) -> str:
    return f"redis://:{secrets.redis}@{HOST}:{ports.redis}/{database}"


def redis_program(home: Home, server: str, given: Given) -> Program:
    """A real redis-server, configured by the file that `redis_config` is written to."""
    return Program("redis", (server, str(home.redis_config)), given.bare)


def redis_config(home: Home, ports: Ports, secrets: Secrets) -> str:
    """Durable (AOF, on the disk before it answers), reachable from this machine only, and only with the password."""
    directory = str(home.redis).replace("\\", "\\\\").replace('"', '\\"')
    settings = {
        "bind": HOST,
        "port": ports.redis,
        "requirepass": secrets.redis,
        "dir": f'"{directory}"',
        "appendonly": "yes",
        "appendfsync": "always",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "databases": 2,
        "daemonize": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def embedded_program(ports: Ports, given: Given) -> Program:
    """What stands in for Redis where there is none. It keeps nothing."""
    return Program("redis", _python("services.cli.embedded", "--port", str(ports.redis)), given.bare)


def scripted_program(ports: Ports, given: Given) -> Program:
    """The scripted model of the demo: playbooks, not a language model."""
    return Program("scripted", _python("services.scripted", "--port", str(ports.scripted)), given.bare)


def service_programs(home: Home, ports: Ports, secrets: Secrets, given: Given) -> list[Program]:
    """The API, a worker and the controller. What the stack decides wins over the user's settings."""
    shared = {
        **given.bare,
        **_HEAPS,
        **given.tuning,
        "COHORT_REDIS_URL": redis_url(ports, secrets),
        "COHORT_REDIS_CLUSTER": "false",
        "COHORT_BROKER_URL": redis_url(ports, secrets, _BROKER_DATABASE),
        "COHORT_ARTIFACT_URL": home.artifacts.as_uri(),
        "COHORT_METRICS_HOST": HOST,
        "COHORT_WORKER_METRICS_PORT": str(ports.worker_metrics),
        "COHORT_CONTROLLER_METRICS_PORT": str(ports.controller_metrics),
    }
    signing = {"COHORT_RUNNER_SECRET": secrets.runner}
    state = {"COHORT_STATE_DIR": str(home.state)}
    api = {**shared, **signing, "COHORT_API_HOST": HOST, "COHORT_API_PORT": str(ports.api)}
    worker = {**shared, **given.provider, **state, **_scripted_model(ports)}
    controller = {**shared, **signing, **state, "COHORT_API_URL": ports.api_url}
    return [
        Program("api", _python("services.api"), api),
        Program("worker", _python("services.worker"), worker),
        Program("controller", _python("services.worker.controller"), controller),
    ]


def _scripted_model(ports: Ports) -> dict[str, str]:
    if not ports.scripted:
        return {}
    return {"COHORT_MODEL_BASE_URL": ports.scripted_url, "COHORT_MODEL_API_KEY": "none-needed"}


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    # -P: what lies in the current directory must not shadow a module.
    return (sys.executable, "-P", "-m", module, *arguments)
