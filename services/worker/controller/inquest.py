"""What a failed attempt's own log says of the reason, where the cluster knows none.

It is done before the attempt is closed, so that its end carries the class, by the hands that end things and not by the
loop. Of a large log the beginning and the end are read; what is shown to the agent is made from all of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import structlog

from services.core.diagnosis.decision import diagnose
from services.core.diagnosis.ending import Ending
from services.core.diagnosis.records import recorded
from services.core.errors import StoreUnavailable
from services.core.keys import rank_id
from services.core.log_scan import scan
from services.core.logs import LogStore
from services.core.records import Attempt
from services.core.taxonomy import Failure
from services.worker.controller.verdict import Close
from services.worker.executors import Observed

log = structlog.get_logger()

_HEAD_BYTES = 4 << 20
_TAIL_BYTES = 12 << 20
# What the cluster says of a rank whose program failed by itself.
_UNKNOWN = "rank_failed"


@dataclass(frozen=True)
class Inquest:
    """Asks the log. Threads may share it."""

    logs: LogStore

    @staticmethod
    def is_due(close: Close) -> bool:
        """Whether the attempt failed, and nobody knows why."""
        return close.outcome == "failed" and (close.diagnosis is None or close.diagnosis.code == _UNKNOWN)

    def hold(self, attempt: Attempt, seen: Observed, close: Close) -> Close:
        """The same end, with the diagnosis from the log if there is one. Raises `StoreUnavailable`."""
        ending = Ending(seen.exit.exit_code if seen.exit else None, close.reason)
        try:
            found = diagnose(scan(self._pieces(rank_id(attempt.id, seen.rank or 0))), ending)
        except StoreUnavailable:
            raise
        except Exception:
            # A log that cannot be read must not keep its attempt from being closed.
            log.exception("log_not_diagnosed", attempt=attempt.id)
            return close
        if found.failure is Failure.NONE:
            return close
        log.info("attempt_diagnosed", attempt=attempt.id, failure=found.failure, confidence=found.confidence)
        return replace(close, diagnosis=recorded(found))

    def _pieces(self, name: str) -> Iterator[bytes]:
        size = self.logs.size(name)
        head = min(size, _HEAD_BYTES)
        yield from self.logs.stream(name, 0, head)
        start = max(head, size - _TAIL_BYTES)
        if start > head:
            yield b"\n"
        yield from self.logs.stream(name, start, size)
