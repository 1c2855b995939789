"""Directories of runs that are over, cleared away on every machine that worked on them.

A run clears up after itself where it ends. What it leaves on other machines, and what a worker lays that slept through
its lease, is found here.
"""

import threading
from types import TracebackType
from typing import Self

import structlog

from services.core.errors import RunNotFound, StoreUnavailable
from services.core.store import RunStore
from services.worker.shells import Shell

log = structlog.get_logger()


def clear_if_over(store: RunStore, shell: Shell, run: str) -> bool:
    """Stop commands and remove directories of `run` on this machine if it is over or unknown. True when that was so.

    Raises `StoreUnavailable`.
    """
    try:
        if not store.state(run).status.is_final:
            return False
    except RunNotFound:
        pass
    shell.close(run)
    return True


class Housekeeper:
    """Looks through this machine's run directories every `seconds`. Use as a context manager."""

    def __init__(self, store: RunStore, shell: Shell, seconds: float) -> None:
        self._store = store
        self._shell = shell
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="housekeeping", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopped.set()

    def sweep(self) -> list[str]:
        """Look through them once. Returns the runs that were cleared away."""
        return [run for run in self._shell.runs() if clear_if_over(self._store, self._shell, run)]

    def _work(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                if cleared := self.sweep():
                    log.info("runs_cleared_away", runs=cleared)
            except StoreUnavailable as error:
                log.warning("housekeeping_put_off", error=str(error))
            except OSError as error:
                log.warning("housekeeping_failed", error=str(error))
