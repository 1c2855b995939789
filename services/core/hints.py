"""Hints: "somebody should look at run R". Losing, doubling or reordering them changes nothing but the delay.

Celery carries them on a plain Redis of its own, or the primary that Sentinels name. The one door to Celery; the worker
adds the task's body.
"""

from collections.abc import Callable
from typing import Protocol

import structlog
from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from services.core.errors import StoreUnavailable
from services.core.redis import Client, quick_retry, translated
from services.core.redis_urls import sentinel_address

TASK = "advance"
QUEUE = "hints"
PREFIX = "q:"
"""Before the name of every key that Celery has in its Redis."""

log = structlog.get_logger()


class Hints(Protocol):
    """Whoever can be told that a run is due."""

    def publish(self, run: str) -> None: ...

    def backlog(self) -> int:
        """How many hints wait to be taken, about."""
        ...


def celery_app(broker_url: str) -> Celery:
    """A Celery application with the settings that survive what its Redis transport does wrong.

    Early acknowledgement, because a hint needs no second delivery; socket timeouts and health checks, because a dead
    connection would otherwise be waited on for ever; no result backend, because state is ours. Raises `BadRequest` for
    a URL that is none.
    """
    broker, sentinels = _broker(broker_url)
    app = Celery("cohort", broker=broker, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 600,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "global_keyprefix": PREFIX,
            # Who publishes finds a broker that is away at once; by default they would wait for six seconds.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.1,
            **sentinels,
        },
    )
    return app


def _broker(url: str) -> tuple[str, dict[str, object]]:
    """The broker's URL as Celery writes it, and what its transport has to know besides."""
    address = sentinel_address(url, "COHORT_BROKER_URL")
    if address is None:
        return url, {}
    patience = {"socket_timeout": 2, "socket_connect_timeout": 2, "retry": quick_retry()}
    known = {**patience, **address.sentinel_credentials()}
    return address.broker_url(), {"master_name": address.service, "sentinel_kwargs": known}


def queue_length(broker: Client) -> int | None:
    """How many hints wait in the broker's Redis to be taken, asked without Celery; None where it does not answer."""
    try:
        with translated():
            return int(broker.llen(f"{PREFIX}{QUEUE}"))
    except StoreUnavailable:
        return None


class CeleryHints:
    """Publishes hints through Celery; a broker that is away costs a log line, never the caller's work.

    `told` hears of each whether it went out.
    """

    def __init__(self, app: Celery, told: Callable[[bool], None] = lambda _: None) -> None:
        self._app = app
        self._told = told

    def publish(self, run: str) -> None:
        try:
            self._app.send_task(TASK, args=[run], queue=QUEUE, retry=False, ignore_result=True)
        except (OperationalError, OSError) as error:
            # The sweeper names the run again within seconds.
            log.warning("hint_not_published", run=run, error=str(error))
            self._told(False)
        else:
            self._told(True)

    def backlog(self) -> int:
        try:
            with self._app.connection_or_acquire() as connection:
                return int(connection.default_channel.queue_declare(queue=QUEUE).message_count)
        except (OperationalError, ChannelError, OSError) as error:
            log.warning("backlog_not_known", error=str(error))
            return 0
