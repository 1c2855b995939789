"""The controller's loop: lead, sweep, reconcile, archive; woken early by the runner's announcements."""

import threading
from dataclasses import dataclass
from random import shuffle

import structlog

from services.core.errors import StoreUnavailable
from services.core.faults import reach
from services.core.hints import Hints
from services.core.keys import CONTROLLER_CHANNEL
from services.core.redis import translated
from services.core.store import RunStore
from services.worker.controller.archive import Archivist
from services.worker.controller.attempts import Reconciler
from services.worker.controller.leader import Leadership

log = structlog.get_logger()

_REHINT_SECONDS = 5.0
# More waiting hints than this help nobody; runs that are due stay due.
_MOST_HINTS = 1_000


@dataclass(frozen=True)
class Controller:
    """Everything that is done for all runs by one process."""

    store: RunStore
    leadership: Leadership
    reconciler: Reconciler
    archivist: Archivist
    hints: Hints
    seconds: float

    def run(self, stopped: threading.Event) -> None:
        """Work until `stopped`. Redis being away is waited out; nothing else may end the loop."""
        awake = threading.Event()
        listener = threading.Thread(target=self._listen, args=(awake, stopped), name="listener", daemon=True)
        listener.start()
        while not stopped.is_set():
            try:
                if self.leadership.hold():
                    self.once()
            except StoreUnavailable as error:
                log.warning("controller_lost_its_store", error=str(error))
            except Exception:
                # The edge of the process: a round that failed is tried again, a loop that ended would be missed by all.
                log.exception("controller_round_failed")
            awake.wait(self.seconds)
            awake.clear()
        listener.join()

    def once(self) -> None:
        """One round."""
        self._sweep()
        self.reconciler.reconcile_all()
        self.archivist.archive_all()

    def _sweep(self) -> None:
        """Hint at runs that are due, as long as the hints before are being taken."""
        room = _MOST_HINTS - self.hints.backlog()
        tags = self.store.keys.tags()
        shuffle(tags)
        for tag in tags:
            if room <= 0:
                return
            due = self.store.sweep(tag, _REHINT_SECONDS, limit=room)
            room -= len(due)
            reach("controller.swept")
            for run in due:
                self.hints.publish(run)

    def _listen(self, awake: threading.Event, stopped: threading.Event) -> None:
        """Turn announcements into an early round. A lost one costs a pause, never a step."""
        while not stopped.is_set():
            try:
                with translated(), self.store.client.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(CONTROLLER_CHANNEL)
                    while not stopped.is_set():
                        if channel.get_message(timeout=1.0):
                            awake.set()
            except StoreUnavailable as error:
                log.warning("controller_not_listening", error=str(error))
                stopped.wait(self.seconds)
        awake.set()
