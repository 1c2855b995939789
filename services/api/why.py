"""Why a run is where it is, in words."""

import time

from fastapi import APIRouter
from starlette.responses import Response

from services.api.auth import Reader
from services.api.parameters import RunId
from services.api.parts import Uses
from services.api.views import WhyView, answer
from services.core.why import why

router = APIRouter(prefix="/v1/runs/{run}/why", tags=["runs"])


@router.get("", response_model=WhyView)
def explain_run(caller: Reader, parts: Uses, run: RunId) -> Response:
    """Where a run is, why, and what would change it next. For people: the words may change with any version."""
    state = parts.store.state_for(caller.tenant, run)
    records = {attempt.id: parts.attempts.record(attempt.id) for attempt in state.live_attempts()}
    told = why(state, records, time.time())
    return answer(
        WhyView(run=run, status=state.status, reason=state.reason, here=told.here, next=told.next, text=told.text)
    )
