"""`python -m services.worker.controller`: lead, or stand by, until told to stop."""

import signal
import sys
import threading
from functools import partial
from uuid import uuid4

from prometheus_client import CollectorRegistry

from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.catalog import Catalog
from services.core.errors import BadRequest
from services.core.hints import CeleryHints, celery_app
from services.core.keys import Keys
from services.core.ledger import Ledger
from services.core.logging import configure
from services.core.logs import LogStore
from services.core.payload import Payloads
from services.core.pools import Pools
from services.core.redis import connect
from services.core.settings import ControllerSettings, load
from services.core.store import RunStore
from services.worker.controller.archive import Archivist
from services.worker.controller.attempts import Reconciler, Terms
from services.worker.controller.figures import count_ready
from services.worker.controller.leader import Leadership
from services.worker.controller.loop import Controller
from services.worker.controller.news import News
from services.worker.controller.pulse import Pulse
from services.worker.executors.chosen import executor_of
from services.worker.probes import answer_probes


def main() -> int:
    """Exit code 2 when the settings or the pools file are wrong."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        settings = load(ControllerSettings)
        configure("controller", settings.log_level, settings.log_format)
        controller = build(settings)
    except BadRequest as error:
        print(f"cohort controller: {error}", file=sys.stderr)
        return 2
    controller.run(stopped)
    return 0


def build(settings: ControllerSettings) -> Controller:
    """Put a controller together from a process's settings."""
    client = connect(settings.redis_url, cluster=settings.redis_cluster, client_name="cohort-controller")
    keys, artifacts = Keys(settings.shards), ArtifactStore(settings.artifact_url)
    store, logs = (RunStore(client, keys, Payloads(artifacts)), LogStore(client, keys, artifacts))
    hints = CeleryHints(celery_app(settings.broker_url))
    registry, pools = CollectorRegistry(), Pools.of(settings)
    executor = executor_of(settings, artifacts, pools, registry)
    terms = Terms(
        api_url=settings.api_url,
        runner_secret=settings.runner_secret.get_secret_value(),
        grace_seconds=settings.cancel_grace_seconds,
        finish_seconds=settings.finish_seconds,
        pools=pools,
        orphan_seconds=settings.orphan_seconds,
    )
    attempts = AttemptStore(client, keys)
    ledger = Ledger(client)
    reconciler = Reconciler(store, attempts, logs, ledger, executor, hints, terms)
    leadership = Leadership(client, "controller", uuid4().hex, settings.leader_seconds)
    pulse = Pulse()
    count_ready(Catalog(store), registry)
    if settings.controller_metrics_port:
        answer_probes(settings.controller_metrics_port, registry, pulse.trouble, partial(_lack, leadership))
    archivist, news = Archivist(store, ledger, logs, artifacts), News()
    executor.watch(news.tell)
    return Controller(store, leadership, reconciler, archivist, hints, news, settings.sweep_seconds, pulse)


def _lack(leadership: Leadership) -> str:
    return "" if leadership.is_settled else "Redis has not said yet who leads"


if __name__ == "__main__":
    sys.exit(main())
