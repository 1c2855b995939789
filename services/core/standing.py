"""Where an attempt stands and what moves it on, in words. Pure."""

from dataclasses import dataclass

from services.core.attempts import AttemptRecord
from services.core.durations import seconds_text
from services.core.records import Attempt, Stage

# A program that has said nothing for so long is worth a word.
_QUIET_SECONDS = 120.0


@dataclass(frozen=True)
class Standing:
    """A clause that goes on from "attempt 2 of step train", and a sentence on what changes it next."""

    where: str
    next: str


_STAGES = {
    Stage.QUEUED: (
        "is queued: it is held back until there is quota or room for it",
        "It goes on by itself when others end, or when the quota is raised.",
    ),
    Stage.ADMITTED: (
        "may start, and the cluster is making its pod",
        "It goes on when the pod is there, which takes seconds unless the cluster refuses it.",
    ),
    Stage.SCHEDULING: (
        "has a pod that waits for a node with room for it",
        "It goes on when other steps end or a node is added.",
    ),
    Stage.PULLING: ("has a node, which fetches its image", "It goes on when the image is there."),
    Stage.STARTING: ("is being started", "It runs when its files are laid out, which takes seconds."),
    Stage.UNKNOWN: (
        "is somewhere in a cluster that does not answer",
        "It goes on by itself meanwhile; what became of it is seen when the cluster answers again.",
    ),
    Stage.FINISHING: (
        "is over, and its log and outputs are on their way",
        "Its end is recorded when they have arrived, or when that takes too long.",
    ),
}


def standing_of(attempt: Attempt, record: AttemptRecord, now: float) -> Standing:
    """Where a live attempt stands. `now` is in seconds since the epoch."""
    if record.finish is not None:
        return _staged(Stage.FINISHING, "")
    if attempt.stage in _STAGES:
        return _staged(attempt.stage, attempt.detail)
    if attempt.status == "running":
        return _running(attempt, record, now)
    if attempt.stage is Stage.RUNNING or record.claimed_at is not None:
        return Standing("is being started", "It counts as running once its runner and the controller have met.")
    return Standing("is about to be started", "The controller starts it within seconds, if there is a controller.")


def stage_text(attempt: Attempt) -> str:
    """`scheduling: 0/4 nodes: insufficient nvidia.com/gpu`; '' where no stage is known."""
    if attempt.stage is None:
        return ""
    return f"{attempt.stage}: {attempt.detail}" if attempt.detail else str(attempt.stage)


def _staged(stage: Stage, detail: str) -> Standing:
    where, after = _STAGES[stage]
    return Standing(f"{where} ({detail})" if detail else where, after)


def _running(attempt: Attempt, record: AttemptRecord, now: float) -> Standing:
    began = attempt.started or attempt.submitted
    parts = [f"has been running for {seconds_text(now - began)}"]
    progress = record.progress
    if progress is not None and progress.fraction is not None:
        parts.append(f"is {progress.fraction:.0%} through")
    if record.last_output_at is None:
        parts.append("has printed nothing yet")
    elif now - record.last_output_at > _QUIET_SECONDS:
        parts.append(f"has printed nothing for {seconds_text(now - record.last_output_at)}")
    text = " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else parts[0]
    eta = progress.eta_seconds if progress else None
    soon = f", in about {seconds_text(eta)} by its own word" if eta else ""
    left = seconds_text(began + attempt.deadline_seconds - now)
    return Standing(text, f"It ends when its program does{soon}, or is stopped at its deadline in {left}.")
