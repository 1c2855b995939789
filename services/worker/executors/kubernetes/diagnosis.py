"""What is wrong with an attempt, from what the cluster shows of it. Pure: a case in, a diagnosis or none out.

The rules are asked in order, and the first that knows an answer is right: what ended a program says more than what came
of it, and what is wrong with the whole pod more than what is wrong with a part.
"""

from collections.abc import Callable, Sequence

from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner
from services.runner.spool import ExitReason
from services.worker.executors.kubernetes import disruptions, endings, starting
from services.worker.executors.kubernetes.absence import diagnose_absence
from services.worker.executors.kubernetes.case import Case
from services.worker.executors.kubernetes.images import diagnose_image
from services.worker.executors.kubernetes.queueing import diagnose_queue
from services.worker.executors.kubernetes.scheduling import diagnose_scheduling

Rule = Callable[[Case], Diagnosis | None]

RULES: tuple[Rule, ...] = (
    endings.diagnose_eviction,
    endings.diagnose_memory,
    disruptions.diagnose_disruption,
    endings.diagnose_deadline,
    disruptions.diagnose_node_loss,
    disruptions.diagnose_suspension,
    disruptions.diagnose_removal,
    disruptions.diagnose_kill,
    endings.diagnose_start,
    endings.diagnose_lost_exit,
    endings.diagnose_silence,
    diagnose_image,
    starting.diagnose_config,
    starting.diagnose_creation,
    starting.diagnose_volume,
    diagnose_scheduling,
    diagnose_absence,
    diagnose_queue,
)
_MOST = 500
# The ends of a rank that follow from another rank's.
_FOLLOWS = {"killed_externally", "pod_deleted", "disrupted", "exit_lost", "pod_lost"}


def diagnose(case: Case) -> Diagnosis | None:
    """What is wrong; None where nothing is, or where the program's own end says it all."""
    if case.cancelled_at is not None or _ended_by_itself(case):
        return None
    found = next((found for rule in RULES if (found := rule(case)) is not None), None)
    return found and found.model_copy(update={"summary": found.summary[:_MOST]})


def first_cause(cases: Sequence[Case]) -> tuple[Case, Diagnosis] | None:
    """The rank whose trouble brought that of the others, and what it was.

    A rank that the platform lost comes before any that failed: programs fail when a peer is gone, and long before the
    cluster knows that its node is.
    """
    found = [(case, diagnosis) for case in cases if (diagnosis := diagnose(case) or _own_failure(case)) is not None]
    return min(found, key=_order, default=None)


def _order(finding: tuple[Case, Diagnosis]) -> tuple[bool, bool, bool, float, int]:
    case, diagnosis = finding
    ended = case.exit.finished if case.exit else float("inf")
    follows = diagnosis.code in _FOLLOWS
    return not diagnosis.is_final, follows, not diagnosis.is_retriable, ended, case.rank or 0


def _own_failure(case: Case) -> Diagnosis | None:
    """A rank's program that failed by itself. What was wrong with it stands in its log."""
    exit = case.exit
    if exit is None or exit.reason not in {ExitReason.EXITED, ExitReason.SIGNALLED} or exit.exit_code == 0:
        return None
    return Diagnosis(
        failure=Failure.CODE_ERROR,
        owner=Owner.CODE,
        code="rank_failed",
        summary=f"its program ended with exit code {exit.exit_code}",
        remedy="read that rank's log; what the other ranks say follows from it",
    )


def _ended_by_itself(case: Case) -> bool:
    """Whether the program came to its end before anything outside began to end it, and was not killed."""
    exit = case.exit
    if exit is None or exit.reason is not ExitReason.EXITED or exit.exit_code is None:
        return False
    if (
        case.pod_reason
        or exit.terminated
        or (case.asked_to_end_at is not None and not disruptions.was_over_before(case))
    ):
        return False
    return exit.exit_code == 0 or (exit.exit_code < 128 and case.main.terminated.get("reason") != "OOMKilled")
