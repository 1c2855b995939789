"""What was appended to a run's log, for those who look on: they count or trace, and change nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from services.core.events import Event
from services.core.records import RunState

log = structlog.get_logger()


@dataclass(frozen=True)
class Appended:
    """Events of one run that were appended together, as they stand in its log, and the state before and after them.

    `before` is None where the run was accepted just now.
    """

    before: RunState | None
    events: tuple[Event, ...]
    after: RunState


Onlooker = Callable[[Appended], None]
"""Is called once with what this process appended, on the writer's thread: it must be quick. Threads may call it at
once."""


def tell(onlookers: Sequence[Onlooker], appended: Appended) -> None:
    """Tell all of them. Raises nothing: what is written is written, and its writer has to hear so."""
    for onlooker in onlookers:
        try:
            onlooker(appended)
        except Exception:
            # The edge of an onlooker.
            log.exception("onlooker_failed", run=appended.after.run)
