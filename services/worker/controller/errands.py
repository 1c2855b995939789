"""What the executor is asked to do, and takes its time over: several attempts at once, and nobody waits for it.

A cluster may take seconds for a request, and thousands may be wanted at once; what happens to other attempts meanwhile
is seen to all the same. Submissions have hands of their own, so that the end of one attempt never waits for the
beginning of others.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context

import structlog

from services.core.errors import StoreUnavailable

log = structlog.get_logger()

_HANDS = 8


class Errands:
    """The errands that are out, one at most for each attempt. Threads may share it."""

    def __init__(self) -> None:
        self._submitting = ThreadPoolExecutor(_HANDS, "submission")
        self._ending = ThreadPoolExecutor(_HANDS, "ending")
        self._lock = threading.Lock()
        self._out: dict[str, Future[None]] = {}

    def submit(self, attempt: str, work: Callable[[], None]) -> None:
        """Have `work` done, after the submissions before it."""
        self._send(self._submitting, attempt, work)

    def end(self, attempt: str, work: Callable[[], None]) -> None:
        """Have `work` done that ends something."""
        self._send(self._ending, attempt, work)

    def is_out(self, attempt: str) -> bool:
        """Whether something is done for the attempt, or will be: it is looked at when that is over."""
        with self._lock:
            return attempt in self._out

    def call_off(self, attempt: str) -> bool:
        """Whether nothing is done for the attempt, what has not begun being called off."""
        with self._lock:
            found = self._out.get(attempt)
            if found is None:
                return True
        # Outside the lock: what is called off strikes itself off at once.
        return found.cancel()

    def settle(self) -> None:
        """Wait for all that is out."""
        with self._lock:
            out = list(self._out.values())
        wait(out)

    def stop(self) -> None:
        """Finish what has begun, and begin nothing more: whoever leads next finds it to do."""
        for hands in (self._submitting, self._ending):
            hands.shutdown(cancel_futures=True)

    def _send(self, hands: ThreadPoolExecutor, attempt: str, work: Callable[[], None]) -> None:
        with self._lock:
            if attempt in self._out:
                return
            # In a copy of the context: its lines name the run as those of who sent it.
            self._out[attempt] = sent = hands.submit(copy_context().run, _run, attempt, work)
        sent.add_done_callback(lambda _: self._strike_off(attempt))

    def _strike_off(self, attempt: str) -> None:
        with self._lock:
            self._out.pop(attempt, None)


def _run(attempt: str, work: Callable[[], None]) -> None:
    try:
        work()
    except StoreUnavailable as error:
        log.warning("errand_lost_its_store", attempt=attempt, error=str(error))
    except Exception:
        # The edge of one attempt: it is looked at again in the next round.
        log.exception("errand_failed", attempt=attempt)
