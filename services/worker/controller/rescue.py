"""What a runner did not bring of a log, fetched from where the program wrote it.

A sidecar that dies just as its program ends is not started again by every kubelet. Once the time for shipping is over,
the controller takes what the executor still has. Bytes are only appended where their place in the log is certain; what
stays missing is counted as a gap, and without the runner's digest the log is never called complete.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog

from services.core.attempts import AttemptOver, AttemptRecord, AttemptStore
from services.core.keys import rank_id
from services.core.logs import LogStore, WrongOffset
from services.core.records import Attempt
from services.worker.executors import Executor, Observed, Remains

log = structlog.get_logger()

_TAIL_BYTES = 64 * 1024
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Rescue:
    """Asked before an attempt is closed: afterwards its log takes nothing more."""

    attempts: AttemptStore
    logs: LogStore
    executor: Executor

    @staticmethod
    def is_due(records: Sequence[AttemptRecord], seen: Observed) -> bool:
        """Whether the attempt is over, and a runner of it never reported."""
        return seen.phase.is_over and bool(_silent(records))

    def fetch(self, attempt: Attempt, records: Sequence[AttemptRecord]) -> Sequence[AttemptRecord]:
        """The records of its ranks, after the logs of those whose runner never reported have grown by what is left of
        them. Takes as long as nodes take to answer. Raises what the log store raises."""
        for rank in _silent(records):
            remains = self.executor.remains(attempt.id, rank)
            if remains is not None:
                self._append(rank_id(attempt.id, rank), remains)
        return self.attempts.records(attempt.id, len(records))

    def _append(self, name: str, remains: Remains) -> None:
        stored = self.logs.size(name)
        tail = self.logs.read(name, max(0, stored - _TAIL_BYTES), _TAIL_BYTES)
        data = missing_of(remains, stored, tail)
        try:
            for start in range(0, len(data), _PIECE_BYTES):
                self.logs.append(name, stored + start, data[start : start + _PIECE_BYTES])
        except (WrongOffset, AttemptOver) as error:
            # Its runner has come back, and brings the rest itself.
            log.info("log_not_fetched", attempt=name, why=str(error))
            return
        log.info("log_fetched", attempt=name, stored=stored, fetched=len(data), size=remains.size)


def _silent(records: Sequence[AttemptRecord]) -> list[int]:
    """The ranks whose runners began, and never reported an end."""
    return [rank for rank, one in enumerate(records) if one.finish is None and one.claimed_at is not None]


def missing_of(remains: Remains, stored: int, tail: bytes) -> bytes:
    """What comes after the `stored` bytes of the log, which end with `tail`; nothing where that is not certain."""
    for start in _starts(remains, stored, tail):
        if _fits(remains, start, stored, tail):
            end = len(remains.data) if remains.size is None else remains.size - start
            return remains.data[stored - start : end]
    return b""


def _starts(remains: Remains, stored: int, tail: bytes) -> Iterator[int]:
    """Where in the log the remains may begin."""
    data = remains.data
    if remains.is_exact:
        yield remains.before
    elif remains.size is not None:
        # It has the log's end, and maybe one newline more.
        yield remains.size - len(data)
        if data.endswith(b"\n"):
            yield remains.size - len(data) + 1
    else:
        yield remains.before
        if tail and data.count(tail) == 1:
            yield stored - data.index(tail) - len(tail)


def _fits(remains: Remains, start: int, stored: int, tail: bytes) -> bool:
    """Whether the remains, put at `start`, say what is stored there, and reach what is not."""
    place = stored - start
    if start < 0 or not 0 <= place <= len(remains.data):
        return False
    known = min(len(tail), place)
    # Without a byte in common the place of a copy is only certain at the log's very beginning.
    is_certain = bool(known) or stored == 0 or remains.is_exact
    return is_certain and remains.data[place - known : place] == tail[len(tail) - known :]
