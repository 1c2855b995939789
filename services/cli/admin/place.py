"""Where the install is that is looked after."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog

from services.cli.home import Home, home_at, read_json
from services.cli.problems import Usage
from services.cli.programs import Ports, Secrets, redis_url
from services.core.redis import translated
from services.core.settings import AdminSettings, load
from services.keeping.install import Install, open_install


@contextmanager
def opened() -> Iterator[Install]:
    """The install that the environment names, or else the one that `cohort up` runs. Raises `Usage`,
    `StoreUnavailable`, `ArtifactStoreUnavailable`."""
    settings = load(AdminSettings)
    state, artifacts = addresses(settings)
    install = open_install(state, artifacts, cluster=settings.redis_cluster, shards=settings.shards)
    try:
        with translated():
            install.client.ping()
        with _only_warnings():
            yield install
    finally:
        install.client.close()


@contextmanager
def _only_warnings() -> Iterator[None]:
    """What services note in their logs a command says by itself, on stdout."""
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        structlog.reset_defaults()


def addresses(settings: AdminSettings) -> tuple[str, str]:
    """The URLs of Redis and of the artifact store. Raises `Usage`."""
    if bool(settings.redis_url) != bool(settings.artifact_url):
        missing = "COHORT_ARTIFACT_URL" if settings.redis_url else "COHORT_REDIS_URL"
        raise Usage(f"{missing} is not set: an install is its Redis and its artifact store, so name both")
    if not settings.redis_url:
        return _local(home_at(settings.home))
    _check_directory(settings.artifact_url)
    return settings.redis_url, settings.artifact_url


def _local(home: Home) -> tuple[str, str]:
    known, ports = read_json(home.secrets_file), read_json(home.stack_file)
    if not known or not ports:
        text = "no install is known: set COHORT_REDIS_URL and COHORT_ARTIFACT_URL, or start one with `cohort up`"
        raise Usage(text)
    secrets = Secrets(runner=str(known["runner"]), redis=str(known["redis"]))
    return redis_url(Ports(api=int(ports["api"]), redis=int(ports["redis"])), secrets), home.artifacts.as_uri()


def _check_directory(url: str) -> None:
    """A directory that is not there would be made, and everything found missing in it."""
    parts = urlsplit(url)
    if parts.scheme in {"", "file"} and not Path(unquote(parts.path)).is_dir():
        raise Usage(f"COHORT_ARTIFACT_URL: there is no directory {unquote(parts.path)}; is its volume mounted?")
