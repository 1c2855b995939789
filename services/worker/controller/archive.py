"""What must survive the loss of Redis: when a run has ended, all there is of it goes to the artifact store.

The logs of its attempts are put together into one object each at the same time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from services.core.archive import Archive
from services.core.artifacts import ArtifactStore
from services.core.errors import NewerRecord, StoreUnavailable
from services.core.faults import reach
from services.core.keys import rank_id
from services.core.ledger import Ledger
from services.core.logging import about
from services.core.logs import LogStore
from services.core.records import RunState
from services.core.store import RunStore
from services.keeping.recording import taken_down
from services.worker.controller.metrics import ControllerMetrics
from services.worker.research import tell_parent
from services.worker.settling import settle_leftovers

log = structlog.get_logger()


@dataclass(frozen=True)
class Archivist:
    """Archives ended runs. Repeating it writes the same again."""

    store: RunStore
    ledger: Ledger
    logs: LogStore
    artifacts: ArtifactStore
    metrics: ControllerMetrics = field(default_factory=ControllerMetrics)

    def round(self) -> Iterator[None]:
        """Archive every run that ended and was not archived yet, one a step."""
        for run in self.store.ended():
            yield
            try:
                self.archive(run)
            except StoreUnavailable:
                raise
            except NewerRecord as error:
                log.warning("run_left_to_newer_version", run=run, error=str(error))
            except Exception:
                # The edge of one run's archive: it stays on the list, and must not keep the others waiting.
                self.metrics.archive_failures.inc()
                log.exception("run_not_archived", run=run)

    def archive(self, run: str) -> None:
        """Write one run's record, then strike it off the list."""
        state = self.store.state(run)
        if state.live_attempts():
            return
        with about(run=run, tenant=state.tenant):
            self._archive(state)

    def _archive(self, state: RunState) -> None:
        run = state.run
        settle_leftovers(self.ledger, self.store, state)
        if tell_parent(self.store, state):
            reach("controller.research_told")
        for step in state.steps.values():
            for attempt in step.attempts:
                for rank in range(attempt.resources.nodes):
                    self.logs.compact(rank_id(attempt.id, rank))
                    reach("controller.log_compacted")
        Archive(self.artifacts).write(state, *taken_down(self.store, state))
        reach("controller.archive_written")
        self.store.archived(run)
        self.metrics.archived.inc()
        log.info("run_archived", events=state.seq)
