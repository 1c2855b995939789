"""The application, built from its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from services.api import (
    artifacts,
    checkpoints,
    commands,
    events,
    files,
    health,
    ingest,
    keys,
    messages,
    openapi,
    pools,
    problems,
    runs,
    series,
    steps,
    turns,
    why,
    workspace,
)
from services.api.edge import Edge
from services.api.parts import Parts
from services.core.version import VERSION

_RUNNERS = (ingest, files, checkpoints, commands)
_RESOURCES = (runs, why, events, turns, messages, steps, series, artifacts, workspace, pools, keys, *_RUNNERS, health)


def create_app(parts: Parts) -> FastAPI:
    """An ASGI application. It listens to Redis for as long as its lifespan is open."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Endpoints wait for Redis on threads; AnyIO's 40 would be the narrowest place under load.
        anyio.to_thread.current_default_thread_limiter().total_tokens = parts.bounds.threads
        async with parts.hub.listening():
            yield

    app = FastAPI(
        title="Cohort", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.parts = parts
    app.add_middleware(Edge, metrics=parts.metrics, trace=parts.trace)
    problems.install(app)
    for resource in _RESOURCES:
        app.include_router(resource.router)
    app.openapi = openapi.document(app)  # type: ignore[method-assign]
    return app
