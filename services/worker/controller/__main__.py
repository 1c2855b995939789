"""`python -m services.worker.controller`: lead, or stand by, until told to stop."""

import signal
import sys
import threading
from functools import partial
from uuid import uuid4

from services.core.archive import Archive
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.errors import BadRequest
from services.core.hints import CeleryHints, celery_app, queue_length
from services.core.history import History
from services.core.keys import Keys
from services.core.ledger import Ledger
from services.core.logging import configure
from services.core.logs import LogStore
from services.core.monitoring.counting import Counting, Vocabulary
from services.core.monitoring.hints import counted_hints
from services.core.monitoring.instruments import Registry
from services.core.payload import Payloads
from services.core.pools import Pools
from services.core.redis import connect
from services.core.settings import ControllerSettings, load
from services.core.store import RunStore
from services.core.traced import Traced, traced
from services.keeping.prune import DAY_SECONDS, Pruner, Retention
from services.worker.controller.archive import Archivist
from services.worker.controller.attempts import Reconciler, Terms
from services.worker.controller.figures import tell_state
from services.worker.controller.leader import Leadership
from services.worker.controller.loop import Controller
from services.worker.controller.metrics import ControllerMetrics
from services.worker.controller.news import News
from services.worker.controller.pulse import Pulse
from services.worker.controller.survey import survey
from services.worker.executors.chosen import executor_of
from services.worker.probes import CANNOT_LISTEN, CannotListen, answer_probes

_SCRAPE_SECONDS = 2.0


def main() -> int:
    """Exit code 2 when the settings or the pools file are wrong, 3 when the port for probes is taken."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        settings = load(ControllerSettings)
        configure("controller", settings.log_level, settings.log_format)
        with traced(settings, "controller") as spans:
            build(settings, spans).run(stopped)
    except BadRequest as error:
        print(f"cohort controller: {error}", file=sys.stderr)
        return 2
    except CannotListen as error:
        print(f"cohort controller: {error}", file=sys.stderr)
        return CANNOT_LISTEN
    return 0


def build(settings: ControllerSettings, traced: Traced) -> Controller:
    """Put a controller together from a process's settings."""
    client = connect(settings.redis_url, cluster=settings.redis_cluster, client_name="cohort-controller")
    keys, artifacts = Keys(settings.shards), ArtifactStore(settings.artifact_url)
    registry, pools = Registry("controller"), Pools.of(settings)
    counting = Counting(registry, client, Vocabulary(pools=[pool.name for pool in pools.pools]))
    archive = Archive(artifacts)
    history = History(client, keys, archive)
    store = RunStore(client, keys, Payloads(artifacts), [counting, *traced.onlookers], history)
    logs = LogStore(client, keys, artifacts)
    hints = CeleryHints(celery_app(settings.broker_url), counted_hints(registry))
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
    metrics = ControllerMetrics(registry)
    reconciler = Reconciler(store, attempts, logs, ledger, executor, hints, terms, metrics)
    leadership = Leadership(client, "controller", uuid4().hex, settings.leader_seconds)
    pulse = Pulse()
    _tell_state(settings, registry, pools)
    if settings.controller_metrics_port:
        place, lack = (settings.metrics_host, settings.controller_metrics_port), partial(_lack, leadership)
        answer_probes(*place, registry, pulse.trouble, lack)
    archivist, news = Archivist(store, ledger, logs, artifacts, metrics), News()
    executor.watch(news.tell)
    retention = None
    if settings.retention_days is not None:
        here = RunStore(client, keys, Payloads(artifacts))
        retention = Retention(Pruner(here, archive), settings.retention_days * DAY_SECONDS)
    pace = settings.sweep_seconds
    return Controller(store, leadership, reconciler, archivist, hints, news, pace, pulse, metrics, retention)


def _tell_state(settings: ControllerSettings, registry: Registry, pools: Pools) -> None:
    """With clients of its own: who scrapes would be gone before the others give up."""
    known = partial(connect, client_name="cohort-scrape", patience_seconds=_SCRAPE_SECONDS)
    client = known(settings.redis_url, cluster=settings.redis_cluster)
    broker = known(settings.broker_url, what="COHORT_BROKER_URL")
    keys = Keys(settings.shards)
    tell_state(registry, pools, lambda now: survey(client, keys, now), lambda: queue_length(broker))


def _lack(leadership: Leadership) -> str:
    return "" if leadership.is_settled else "Redis has not said yet who leads"


if __name__ == "__main__":
    sys.exit(main())
