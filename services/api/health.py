"""Whether this process lives, whether it can work, and what it counts."""

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.api.parts import Uses
from services.api.problems import NotReady
from services.api.views import Responses, answer
from services.core.monitoring.instruments import CONTENT_TYPE
from services.core.redis import translated

_PROBE = "health/api"
router = APIRouter(tags=["health"])


class Health(BaseModel):
    """`ok`."""

    status: str = Field(examples=["ok"])


_TEXT: Responses = {
    200: {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/healthz", response_model=Health)
async def healthz() -> Response:
    """This process answers. It says nothing of Redis: restarting an API does not bring Redis back."""
    return answer(Health(status="ok"))


@router.get("/readyz", response_model=Health)
def readyz(parts: Uses) -> Response:
    """Redis answers, the artifact store can be written, and this process is not about to end. Else 503."""
    if parts.hub.is_closing:
        raise NotReady("this process is going to end")
    with translated():
        parts.store.client.ping()
    parts.artifacts.put_named(_PROBE, b"ok")
    return answer(Health(status="ok"))


@router.get("/metrics", response_class=Response, responses=_TEXT)
def metrics(parts: Uses) -> Response:
    """What this process counts, for Prometheus."""
    return Response(parts.metrics.registry.text(), media_type=CONTENT_TYPE)
