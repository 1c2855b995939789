"""What the runner reported of an attempt on several nodes, as one record. Pure."""

from collections.abc import Sequence

from services.core.attempts import AttemptRecord
from services.core.records import FileRef
from services.worker.executors import Observed


def as_one(records: Sequence[AttemptRecord], seen: Observed) -> AttemptRecord:
    """The record by which an attempt is judged: of its only rank, or made of those of all its ranks, in order.

    It is claimed when all ranks are, finished when all have reported; the report is that of the rank whose end counts.
    While ranks live, it was heard when that rank was, of which something is wrong; after that when any was that has not
    reported. Log, checkpoint and progress: bytes and gaps of all, whole if all are, the rest is the first rank's.
    """
    if len(records) == 1:
        return records[0]
    first, decisive = records[0], records[seen.rank or 0]
    claims = [record.claimed_at for record in records if record.claimed_at is not None]
    silent = [record for record in records if record.finish is None]
    heard = silent if seen.phase.is_over else [decisive]
    return first.model_copy(
        update={
            "claimed_at": max(claims) if len(claims) == len(records) else None,
            "heartbeat_at": max((one.heartbeat_at for one in heard if one.heartbeat_at is not None), default=None),
            "finish": None if silent else decisive.finish,
            "log_bytes": sum(record.log_bytes for record in records),
            "log_complete": all(record.log_complete for record in records),
        }
    )


def gap_bytes(records: Sequence[AttemptRecord]) -> int:
    """How much of what all ranks wrote is known to be lost."""
    return sum(record.gap_bytes for record in records)


def outputs(records: Sequence[AttemptRecord]) -> list[FileRef]:
    """What the ranks handed over: the first one's as they are, those of another under `rank-N/`."""
    found = {file.path: file for file in _handed_over(records[0])}
    for rank, record in enumerate(records[1:], 1):
        for file in _handed_over(record):
            path = f"rank-{rank}/{file.path}"
            found.setdefault(path, file.model_copy(update={"path": path}))
    return list(found.values())


def _handed_over(record: AttemptRecord) -> Sequence[FileRef]:
    return record.finish.outputs if record.finish else ()
