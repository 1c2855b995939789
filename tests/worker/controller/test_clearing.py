"""What becomes of executions that no run counts on."""

import pytest

from services.core.attempts import AttemptRecord
from services.worker.controller.clearing import Fate, fate_of
from services.worker.executors import Observed, Phase
from tests.worker.controller.cloud import exit_record

ATTEMPT = "rk3v9x2m4q8aa-train-1"
SILENT, TALKATIVE = exit_record(0), exit_record(0, bytes=6)


@pytest.mark.parametrize(
    ("phase", "exit", "is_complete", "unknown_seconds", "fate"),
    [
        (Phase.RUNNING, None, False, None, Fate.CANCEL),
        (Phase.STARTING, None, False, None, Fate.CANCEL),
        (Phase.FINISHED, TALKATIVE, True, None, Fate.FORGET),
        (Phase.FINISHED, SILENT, False, None, Fate.FORGET),
        # The only copy of a log.
        (Phase.FINISHED, TALKATIVE, False, None, Fate.LEAVE),
        # Of a run that the store does not know: perhaps the store is the wrong one.
        (Phase.RUNNING, None, False, 59.0, Fate.LEAVE),
        (Phase.RUNNING, None, False, 60.0, Fate.CANCEL),
        (Phase.FINISHED, TALKATIVE, False, 59.0, Fate.LEAVE),
        (Phase.FINISHED, TALKATIVE, False, 60.0, Fate.FORGET),
        # Nothing is done about what cannot be seen.
        (Phase.UNKNOWN, None, False, None, Fate.LEAVE),
        (Phase.UNKNOWN, None, False, 60.0, Fate.LEAVE),
    ],
)
def test_what_nobody_counts_on(
    phase: Phase, exit: object, is_complete: bool, unknown_seconds: float | None, fate: Fate
) -> None:
    seen = Observed(ATTEMPT, phase, exit)  # type: ignore[arg-type]
    record = AttemptRecord(attempt=ATTEMPT, log_complete=is_complete)
    assert fate_of(seen, record, unknown_seconds, grace_seconds=60.0) is fate
