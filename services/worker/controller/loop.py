"""The controller's loop: lead, and go round: sweep, reconcile, clear away, archive, let old
runs leave Redis.

A round looks at everything, for announcements may be lost. It is made of many small pieces, and what was announced
meanwhile is seen to between two of them: with thousands of attempts a round takes seconds, and news should not.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import shuffle

import structlog

from services.core.errors import StoreUnavailable
from services.core.faults import reach
from services.core.hints import Hints
from services.core.keys import CONTROLLER_CHANNEL
from services.core.redis import translated
from services.core.store import RunStore
from services.keeping.prune import Retention
from services.worker.controller.archive import Archivist
from services.worker.controller.attempts import Reconciler
from services.worker.controller.leader import Leadership
from services.worker.controller.metrics import ControllerMetrics
from services.worker.controller.news import News
from services.worker.controller.pulse import Pulse

log = structlog.get_logger()

_REHINT_SECONDS = 5.0
# More waiting hints than this help nobody; runs that are due stay due.
_MOST_HINTS = 1_000
# So many times as long as it took, the next round waits: rounds keep a third of a core busy at most.
_REST = 2.0
# The lease is renewed and a stop is heard at least so often.
_LONGEST_WAIT_SECONDS = 1.0


class NotLeading(Exception):
    """Another process leads now, or may do so: this one drops what it does."""


@dataclass(frozen=True)
class Controller:
    """Everything that is done for all runs by one process. `seconds`: the shortest pause between two rounds."""

    store: RunStore
    leadership: Leadership
    reconciler: Reconciler
    archivist: Archivist
    hints: Hints
    news: News
    seconds: float
    pulse: Pulse = field(default_factory=Pulse)
    metrics: ControllerMetrics = field(default_factory=ControllerMetrics)
    retention: Retention | None = None

    def run(self, stopped: threading.Event) -> None:
        """Work until `stopped`. Redis being away is waited out; nothing else may end the loop."""
        listener = threading.Thread(target=self._listen, args=(stopped,), name="listener", daemon=True)
        listener.start()
        due = 0.0
        while not stopped.is_set():
            if time.monotonic() >= due:
                began = time.monotonic()
                self._guarded(self.once)
                due = time.monotonic() + max(self.seconds, _REST * (time.monotonic() - began))
            self.news.wait(min(due - time.monotonic(), _LONGEST_WAIT_SECONDS))
            self._guarded(self._see_to_news)
        self.reconciler.stop()
        self.leadership.resign()
        listener.join()

    def once(self) -> None:
        """One round. Raises `NotLeading`."""
        began = time.monotonic()
        for _ in self._round():
            self._see_to_news()
        self.metrics.rounded(time.monotonic() - began)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except NotLeading:
            log.debug("controller_stands_by")
        except StoreUnavailable as error:
            log.warning("controller_lost_its_store", error=str(error))
        except Exception:
            # The edge of the process: a round that failed is tried again, a loop that ended would be missed by all.
            log.exception("controller_round_failed")

    def _round(self) -> Iterator[None]:
        yield
        yield from self._sweep()
        yield from self.reconciler.round()
        yield from self.archivist.round()
        if self.retention is not None:
            yield from self.retention.round()

    def _see_to_news(self) -> None:
        """Some of what came goes first. Who does not lead forgets it: a leader's first round looks at everything."""
        self.pulse.beat()
        if not self.leadership.hold():
            self.news.forget()
            self.metrics.stands_by()
            raise NotLeading
        self.metrics.leads()
        if came := self.news.take():
            self.reconciler.reconcile(came)

    def _sweep(self) -> Iterator[None]:
        """Hint at runs that are due, as long as the hints before are being taken."""
        room = _MOST_HINTS - self.hints.backlog()
        tags = self.store.keys.tags()
        shuffle(tags)
        for tag in tags:
            if room <= 0:
                return
            due = self.store.sweep(tag, _REHINT_SECONDS, limit=room)
            room -= len(due)
            self.metrics.swept.inc(len(due))
            reach("controller.swept")
            for run in due:
                self.hints.publish(run)
            yield

    def _listen(self, stopped: threading.Event) -> None:
        """Take announcements for news."""
        while not stopped.is_set():
            try:
                with translated(), self.store.client.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(CONTROLLER_CHANNEL)
                    while not stopped.is_set():
                        if message := channel.get_message(timeout=1.0):
                            self.news.tell(message["data"].decode())
            except StoreUnavailable as error:
                log.warning("controller_not_listening", error=str(error))
                stopped.wait(self.seconds)
