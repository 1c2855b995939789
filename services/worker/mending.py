"""What changes about a run so that it goes on in spite of a failed model call. Pure; each change happens once at most.

What can pass is waited for (see `retry`); this is for what would end the run otherwise.
"""

from services.core import events as ev
from services.core.lifecycle import Reason
from services.core.records import RunState
from services.worker.failures import Failure
from services.worker.retry import GiveUp, Retry

Mend = ev.ModelChanged | ev.EffortDropped


def mend_of(state: RunState, failure: Failure, verdict: Retry | GiveUp, detail: str) -> Mend | None:
    """The change after which the call is made again at once; None where nothing can be changed, or need not be.

    A provider that refuses a request may refuse the effort it asks for: without one it is asked once more. Where the
    model is not there, or not for longer than patience lasts, the goal's other model takes over.
    """
    if not isinstance(verdict, GiveUp):
        return None
    if state.effort and failure is Failure.REFUSED:
        return ev.EffortDropped(model=state.model, effort=state.effort, why=detail)
    is_away = failure is Failure.NO_MODEL or verdict.reason is Reason.MODEL_UNAVAILABLE
    if is_away and state.fallback_model and state.fallback_model != state.model:
        return ev.ModelChanged(source=state.model, target=state.fallback_model, why=f"{failure}: {detail}")
    return None
