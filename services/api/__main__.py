"""`python -m services.api`: settings, parts, application, server."""

import asyncio
import signal
import socket
import sys
from types import FrameType

import structlog
import uvicorn

from services.api.app import create_app
from services.api.hints import BackgroundHints
from services.api.hub import Hub
from services.api.metrics import Metrics
from services.api.parts import Bounds, Parts
from services.core import logging
from services.core.apikeys import ApiKeys, FirstKey
from services.core.archive import Archive
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.catalog import Catalog
from services.core.errors import BadRequest
from services.core.hints import CeleryHints, celery_app
from services.core.history import History
from services.core.keys import Keys
from services.core.logs import LogStore
from services.core.monitoring.counting import Counting, Vocabulary
from services.core.monitoring.hints import counted_hints
from services.core.monitoring.instruments import Registry
from services.core.payload import Payloads
from services.core.pools import Pools
from services.core.redis import connect
from services.core.sandboxes import SandboxStore
from services.core.settings import ApiSettings, load
from services.core.store import RunStore
from services.core.traced import Traced, traced
from services.core.workspace import Workspace

# Long downloads and uploads get so long to end once a signal came; Kubernetes kills after 30 s unless told.
_DRAIN_SECONDS = 20

log = structlog.get_logger()


class Server(uvicorn.Server):
    """uvicorn, with streams that end by themselves when this process is told to."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for server in self.servers:
            for bound in server.sockets:
                host, port = bound.getsockname()[:2]
                log.info("listening", host=host, port=port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own would raise the signal once more at the end: an orderly end is exit code 0.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.stop()

    def stop(self) -> None:
        """End streams and waits, take no more requests, finish the ones at work. Callable from everywhere."""
        self._loop.call_soon_threadsafe(self._hub.close)
        self.should_exit = True


def parts_of(settings: ApiSettings, traced: Traced) -> Parts:
    """Everything the application is built from. Connects to nothing yet.

    Raises `BadRequest` for a bad pools file or a first key that is none.
    """
    client = connect(settings.redis_url, cluster=settings.redis_cluster, client_name="cohort-api")
    keys = Keys(settings.shards)
    artifacts = ArtifactStore(settings.artifact_url)
    pools, registry = Pools.of(settings), Registry("api")
    counting = Counting(registry, client, Vocabulary(pools=[pool.name for pool in pools.pools]))
    history = History(client, keys, Archive(artifacts))
    store = RunStore(client, keys, Payloads(artifacts), [counting, *traced.onlookers], history)
    first_key = settings.first_key.get_secret_value()
    first = FirstKey(first_key, settings.first_tenant) if first_key else None
    return Parts(
        store=store,
        attempts=AttemptStore(client, keys, history),
        sandboxes=SandboxStore(client, keys, Payloads(artifacts)),
        logs=LogStore(client, keys, artifacts, history),
        artifacts=artifacts,
        workspace=Workspace(artifacts),
        catalog=Catalog(store),
        api_keys=ApiKeys(client, first),
        hints=BackgroundHints(CeleryHints(celery_app(settings.broker_url), counted_hints(registry))),
        hub=Hub(store, settings.redis_url),
        metrics=Metrics(registry),
        runner_secret=settings.runner_secret.get_secret_value(),
        default_model=settings.model,
        grafana_url=settings.grafana_url,
        pools=pools,
        bounds=Bounds(submission_bytes=settings.max_body_bytes),
        trace=traced.trace,
    )


def main() -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code: 2 when the settings or the pools file are wrong."""
    try:
        settings = load(ApiSettings)
        logging.configure("api", settings.log_level, settings.log_format)
        with traced(settings, "api") as spans:
            _serve(settings, parts_of(settings, spans))
    except BadRequest as error:
        print(f"cohort api: {error}", file=sys.stderr)
        return 2
    return 0


def _serve(settings: ApiSettings, parts: Parts) -> None:
    config = uvicorn.Config(
        create_app(parts),
        host=settings.api_host,
        port=settings.api_port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        timeout_keep_alive=75,
    )
    Server(config, parts.hub).run()


if __name__ == "__main__":
    sys.exit(main())
