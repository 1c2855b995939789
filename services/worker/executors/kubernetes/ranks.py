"""One view of an attempt that has several pods, a rank each. Pure.

When one rank fails, the Job controller ends the others: how those ended says nothing. The attempt is over when all are,
so that every log is whole, and its end is that of the rank which began it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.core.records import Diagnosis, Stage
from services.runner.spool import ExitReason, ExitRecord
from services.worker.executors import Observed, Phase
from services.worker.executors.kubernetes.case import Case
from services.worker.executors.kubernetes.diagnosis import first_cause

_ORDER = {stage: place for place, stage in enumerate(Stage)}


@dataclass(frozen=True)
class Rank:
    """One pod: how it is seen by itself, and all that is known of it."""

    number: int
    seen: Observed
    case: Case


def as_one(attempt: str, ranks: Sequence[Rank]) -> Observed:
    """The attempt as its ranks show it."""
    living = [rank for rank in ranks if rank.seen.phase in {Phase.STARTING, Phase.RUNNING}]
    over = [rank for rank in ranks if rank.seen.phase.is_over]
    if living:
        return _living(attempt, ranks, living)
    return _over(attempt, over) if over else Observed(attempt, Phase.ABSENT)


def _living(attempt: str, ranks: Sequence[Rank], living: Sequence[Rank]) -> Observed:
    slowest = min(living, key=lambda rank: _ORDER.get(rank.seen.stage or Stage.QUEUED, 0))
    is_waiting = any(rank.seen.phase is Phase.STARTING for rank in living)
    seen = Observed(
        attempt,
        Phase.STARTING if is_waiting else Phase.RUNNING,
        tended=all(rank.seen.tended for rank in living),
        stage=slowest.seen.stage,
        detail=f"rank {slowest.number}: {slowest.seen.detail}" if slowest.seen.detail else "",
    )
    cause = _cause(ranks)
    if cause is None:
        return seen
    rank, diagnosis = cause
    if rank.seen.phase is Phase.FINISHED:
        # Its end ends the others, and what they wrote until then is worth having.
        return replace(seen, stage=Stage.FINISHING, detail=f"{diagnosis.summary}; the other ranks are ended")
    return replace(seen, reason=diagnosis.summary, diagnosis=diagnosis, rank=rank.number)


def _over(attempt: str, over: Sequence[Rank]) -> Observed:
    cause = _cause(over)
    rank = cause[0] if cause else min(over, key=_of_least_success)
    exits = [one.seen.exit for one in over if one.seen.exit]
    joined = _joined(rank.seen.exit, exits) if rank.seen.exit else None
    return Observed(
        attempt,
        rank.seen.phase,
        joined,
        rank.seen.reason,
        diagnosis=cause[1] if cause else None,
        lingers=any(one.seen.lingers for one in over),
        rank=rank.number,
    )


def _cause(ranks: Sequence[Rank]) -> tuple[Rank, Diagnosis] | None:
    """The rank whose trouble brought that of the others, and the finding, which names it."""
    found = first_cause([rank.case for rank in ranks])
    if found is None:
        return None
    case, diagnosis = found
    named = diagnosis.model_copy(update={"summary": f"rank {case.rank}: {diagnosis.summary}"})
    return next(rank for rank in ranks if rank.case is case), named


def _of_least_success(rank: Rank) -> tuple[bool, int]:
    """Orders ranks that nothing is wrong with: those that were cancelled come before those that came to their end."""
    exit = rank.seen.exit
    return exit is not None and exit.reason is ExitReason.EXITED, rank.number


def _joined(decisive: ExitRecord, exits: Sequence[ExitRecord]) -> ExitRecord:
    """The decisive end, with the times and bytes of all ranks together."""
    began = [exit.started for exit in exits if exit.started]
    return decisive.model_copy(
        update={
            "started": min(began, default=decisive.started),
            "finished": max(exit.finished for exit in exits),
            "bytes": sum(exit.bytes for exit in exits),
        }
    )
