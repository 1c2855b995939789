"""The sidecar's work on one attempt: claim it, ship its log as it grows, upload its outputs, report its end.

It keeps no state that matters: killed at any moment and started again, it claims what it has claimed, and goes on from
the offset the API names. It judges nothing; what the program's end means is decided elsewhere.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from services.core.errors import CohortError
from services.core.faults import reach
from services.core.observations import FinishReport
from services.core.records import FileRef
from services.runner.checkpoints import QUIET_SECONDS, Keeper, Warn
from services.runner.follow import CHUNK_BYTES, Ages, Digest, Ending, LogFile, is_due, with_missing_tail
from services.runner.metrics import MetricReader
from services.runner.observe import Observer
from services.runner.outputs import OutputLimits, upload
from services.runner.sandbox import Sandbox, SandboxPlace
from services.runner.ship import AttemptClient, ClaimTaken, Fenced, Halt, Refused, Stopped, TooLarge
from services.runner.spool import Cursor, ExitReason, ExitRecord, Settlement, Spool

log = structlog.get_logger()

LOOK_SECONDS = 0.05
CURSOR_SECONDS = 1.0
SMALLEST_CHUNK_BYTES = 4096
_REFUSED_DIGESTS = 5
_LAST_CALL_SECONDS = 1.0
# Programs that never ran leave nothing to upload.
_WITHOUT_OUTPUTS = frozenset({ExitReason.NOT_CLAIMED, ExitReason.START_FAILED})


@dataclass(frozen=True)
class Assignment:
    """Which attempt, as which execution of it, and where its files are."""

    attempt: str
    pod_uid: str
    spool: Spool
    output_directory: Path
    checkpoint_directory: Path | None = None
    checkpoint_quiet_seconds: float = QUIET_SECONDS
    sandbox: SandboxPlace | None = None
    heartbeat_seconds: float = 2.0
    output_limits: OutputLimits = field(default_factory=OutputLimits)


class Sidecar:
    """One attempt's sidecar. `run` may be called once."""

    def __init__(self, assignment: Assignment, client: AttemptClient, halt: Halt, reader: MetricReader) -> None:
        self._assignment = assignment
        self._spool = assignment.spool
        self._client = client
        self._halt = halt
        self._observer = Observer(self._spool, client, halt, reader)
        self._keeper = _keeper(assignment, client, halt, self._observer.warn)
        self._sandbox = _sandbox(assignment, client, halt)
        self._log = LogFile(self._spool.log)
        self._digest = Digest(self._log)
        self._ending = Ending(self._spool, assignment.output_directory)
        self._ages = Ages(time.monotonic())
        self._offset = self._spool.cursor().offset
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._chunk_bytes = CHUNK_BYTES
        self._cursor_at = 0.0

    def run(self) -> Settlement:
        """Work until the attempt is settled; says how. Raises `Stopped` or `Refused` if it cannot be brought there."""
        settled = self._spool.settlement()
        if settled is not None:
            return settled
        try:
            self._claim()
            self._tend()
            outcome = Settlement.FINISHED
        except ClaimTaken as error:
            log.warning("claim_taken", why=str(error))
            self._withdraw(str(error))
            outcome = Settlement.CLAIM_TAKEN
        except Fenced:
            log.warning("fenced")
            self._withdraw("the attempt is over")
            outcome = Settlement.FENCED
        finally:
            self._halt.stop()
            keeping = [self._keeper.thread] if self._keeper else []
            for thread in (self._heart, self._observer.thread, *keeping):
                if thread.is_alive():
                    thread.join(_LAST_CALL_SECONDS)
            self._log.close()
        self._spool.settle(outcome)
        return outcome

    def _claim(self) -> None:
        self._client.claim(self._assignment.pod_uid)
        reach("runner.claimed")
        if not self._spool.is_claimed():
            self._spool.grant(self._assignment.pod_uid)
            reach("runner.granted")

    def _withdraw(self, why: str) -> None:
        """Make sure that the program does not start, or stops."""
        if self._spool.is_claimed():
            self._spool.cancel()
        else:
            self._spool.deny(why)

    def _tend(self) -> None:
        self._heart.start()
        self._observer.thread.start()
        if self._keeper:
            self._keeper.thread.start()
        if self._sandbox:
            self._sandbox.start()
        record = self._ship()
        if self._sandbox:
            self._sandbox.finish()
        files: Sequence[FileRef] = ()
        if record.reason not in _WITHOUT_OUTPUTS:
            # First, since it is all that counts where the machine is about to go.
            if self._keeper:
                self._keeper.finish(record)
            uploaded = upload(self._assignment.output_directory, self._client, self._assignment.output_limits)
            files = uploaded.files
            for warning in uploaded.warnings:
                self._observer.warn("output_skipped", warning)
        self._observer.finish(record.bytes)
        self._finish(record, files)

    def _beat(self) -> None:
        """Say that this execution lives, and learn whether it should."""
        try:
            while True:
                try:
                    cancel, grace_seconds = self._client.heartbeat(self._assignment.pod_uid)
                except Refused as error:
                    log.error("heartbeat_refused", why=str(error))
                else:
                    if cancel:
                        self._spool.cancel(grace_seconds)
                self._halt.wait(self._assignment.heartbeat_seconds)
        except (Fenced, Stopped):
            log.debug("heartbeat_stopped")

    def _ship(self) -> ExitRecord:
        """Send the log until it is over and the API has all of it; returns how the program ended."""
        while True:
            # Asked in this order: a log that was over before its size was taken has no later bytes.
            ended = self._ending.look()
            size, now = self._log.size(), time.monotonic()
            self._ages.look(size, now)
            self._observer.is_held = size - self._offset > CHUNK_BYTES
            if self._offset >= size and ended is not None:
                return with_missing_tail(ended, size)
            if is_due(size - self._offset, self._ages.of(self._offset, now), ended is not None):
                self._send_chunk()
            else:
                self._halt.wait(LOOK_SECONDS)

    def _send_chunk(self) -> None:
        data = self._log.read(self._offset, self._chunk_bytes)
        self._digest.feed(self._offset, data)
        reach("runner.before_put")
        try:
            written = time.monotonic() - self._ages.of(self._offset, time.monotonic())
            expected = self._client.put_log(self._offset, data, written)
        except TooLarge:
            if self._chunk_bytes <= SMALLEST_CHUNK_BYTES:
                raise
            self._chunk_bytes //= 2
            return
        reach("runner.after_put")
        if expected != self._offset + len(data):
            log.info("rewound", sent=self._offset, expected=expected)
        self._offset = expected
        self._save_cursor()

    def _save_cursor(self) -> None:
        if time.monotonic() < self._cursor_at:
            return
        self._cursor_at = time.monotonic() + CURSOR_SECONDS
        try:
            self._spool.save_cursor(Cursor(offset=self._offset, metrics=self._observer.posted))
        except OSError as error:
            # It only saves the next sidecar a question.
            log.warning("cursor_not_saved", why=str(error))

    def _finish(self, record: ExitRecord, files: Sequence[FileRef]) -> None:
        for _ in range(_REFUSED_DIGESTS):
            report = FinishReport(
                exit_code=record.exit_code,
                signal=record.signal,
                reason=record.reason.value,
                started=record.started,
                finished=record.finished,
                bytes=record.bytes,
                sha256=self._digest.hexdigest(record.bytes),
                gaps=record.gaps,
                peaks=dict(record.peaks),
                outputs=tuple(files),
            )
            reach("runner.before_finish")
            expected = self._client.finish(report)
            if expected is None:
                reach("runner.after_finish")
                log.info("attempt_finished", reason=record.reason.value, exit_code=record.exit_code)
                return
            log.warning("log_refused", expected=expected)
            self._offset = expected
            self._ship()
        raise Unacceptable(f"the API refused the log {_REFUSED_DIGESTS} times")


def _keeper(assignment: Assignment, client: AttemptClient, halt: Halt, warn: Warn) -> Keeper | None:
    directory = assignment.checkpoint_directory
    return Keeper(directory, client, halt, warn, assignment.checkpoint_quiet_seconds) if directory else None


def _sandbox(assignment: Assignment, client: AttemptClient, halt: Halt) -> Sandbox | None:
    place = assignment.sandbox
    return Sandbox(place, assignment.spool.directory, assignment.pod_uid, client, halt) if place else None


class Unacceptable(CohortError):
    """The API takes every byte of the log and still finds another digest."""
