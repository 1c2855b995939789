"""Runs that are over leave Redis, so that its memory is bounded; they are read from their archives from then on.

A run leaves in one script, after its archive has been read back whole. So whatever dies where, a run is in Redis or it
is in the archive, and repeating everything does nothing twice. A research leaves after the run that wanted it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from services.core.archive import Archive
from services.core.errors import NewerRecord, RunNotFound, StoreUnavailable
from services.core.faults import reach
from services.core.history import PRUNED
from services.core.lifecycle import FINAL
from services.core.records import RunState
from services.core.redis import run_script, translated
from services.core.store import RunStore
from services.keeping.recording import keys_of, taken_down

log = structlog.get_logger()

_BATCH = 100
_FINAL = ",".join(sorted(FINAL))
DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Pruner:
    """Takes runs out of Redis. `store` reads what is there, not what has left."""

    store: RunStore
    archive: Archive

    def old(self, older_than_seconds: float) -> Iterator[str]:
        """The runs that were archived so long ago and have not left, oldest first within a shard."""
        before = int((time.time() - older_than_seconds) * 1000)
        for tag in self.store.keys.tags():
            start, key = 0, self.store.keys.archived(tag)
            while True:
                with translated():
                    rows = self.store.client.zrangebyscore(key, "-inf", before, start=start, num=_BATCH)
                yield from (row.decode() for row in rows)
                with translated():
                    # Those that left are no longer before the rest.
                    stayed = sum(self.store.client.zscore(key, row) is not None for row in rows)
                start += stayed
                if len(rows) < _BATCH:
                    break

    def prune(self, run: str) -> bool:
        """Let one run leave; False where it has to stay: it is gone, not over, or the research of one that stays.

        Raises `StoreUnavailable` and what the artifact store raises.
        """
        try:
            state = self.store.state(run)
        except (RunNotFound, NewerRecord):
            return False
        if not state.status.is_final or state.live_attempts() or self._has_parent(state):
            return False
        records = self._archived(state)
        keys, tag = self.store.keys, self.store.keys.tag(run)
        names = [keys.run(run), keys.due(tag), keys.ended(tag), keys.archived(tag), *keys_of(keys, state)]
        verdict = run_script(self.store.client, "prune", names, [run, state.seq, _FINAL, records])
        reach("keeping.run_pruned")
        if verdict == b"ok":
            log.info("run_pruned", run=run, events=state.seq)
        return bool(verdict == b"ok")

    def bytes_of(self, run: str) -> int:
        """What Redis spends on a run now."""
        names = [self.store.keys.run(run)]
        try:
            names += keys_of(self.store.keys, self.store.state(run))
        except RunNotFound:
            names = names[:1]
        with translated(), self.store.client.pipeline(transaction=False) as asked:
            for name in names:
                asked.memory_usage(name)
            return sum(size or 0 for size in asked.execute())

    def _archived(self, state: RunState) -> int:
        """Have the run's archive whole; returns the microdollars its log says were spent."""
        if not self.archive.is_complete(state.run, state.seq):
            self.archive.write(state, *taken_down(self.store, state))
            reach("keeping.archive_completed")
            if not self.archive.is_complete(state.run, state.seq):
                raise RuntimeError(f"the archive of {state.run} does not read as it was written")
        return self.archive.fresh_records(state.run).microdollars

    def _has_parent(self, state: RunState) -> bool:
        """Whether the run is a research of one that is still in Redis."""
        if state.parent is None:
            return False
        with translated():
            exists = self.store.client.exists(self.store.keys.run(state.parent.run))
            return bool(exists) and not self.store.client.hexists(self.store.keys.run(state.parent.run), PRUNED)


@dataclass
class Retention:
    """The controller's share: a few runs at a time, and a look only every so often."""

    pruner: Pruner
    seconds: float
    pause_seconds: float = 60.0
    most: int = 50
    clock: Callable[[], float] = time.monotonic
    _due: float = 0.0

    def round(self) -> Iterator[None]:
        """Let those leave that are old enough, one a step."""
        if self.clock() < self._due:
            return
        pruned = 0
        for run in self.pruner.old(self.seconds):
            yield
            pruned += self._pruned(run)
            if pruned == self.most:
                return
        self._due = self.clock() + self.pause_seconds

    def _pruned(self, run: str) -> bool:
        try:
            return self.pruner.prune(run)
        except StoreUnavailable:
            raise
        except Exception:
            # The edge of one run's retention: it stays, and must not keep the others.
            log.exception("run_not_pruned", run=run)
            return False
