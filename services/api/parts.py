"""What the API is built from, and how an endpoint gets at it."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from services.api.granted import Granted
from services.api.hints import Publisher
from services.api.hub import Hub
from services.api.metrics import Metrics
from services.core.apikeys import ApiKeys
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.catalog import Catalog
from services.core.logs import LogStore
from services.core.pools import Pools
from services.core.sandboxes import SandboxStore
from services.core.spans import Trace, untraced
from services.core.store import RunStore
from services.core.workspace import Workspace


@dataclass(frozen=True)
class Bounds:
    """How much one request may bring, in bytes, and how many may be worked on at once."""

    submission_bytes: int = 64 * 2**20
    json_bytes: int = 8 * 2**20
    log_bytes: int = 2**20
    output_bytes: int = 64 * 2**30
    threads: int = 64


@dataclass(frozen=True)
class Parts:
    """Everything an endpoint may use. Made once, in `__main__` or by a test."""

    store: RunStore
    attempts: AttemptStore
    sandboxes: SandboxStore
    logs: LogStore
    artifacts: ArtifactStore
    workspace: Workspace
    catalog: Catalog
    api_keys: ApiKeys
    hints: Publisher
    hub: Hub
    metrics: Metrics
    runner_secret: str
    default_model: str = ""
    grafana_url: str = ""
    pools: Pools = field(default_factory=Pools.local)
    cancel_grace_seconds: int = 10
    bounds: Bounds = field(default_factory=Bounds)
    granted: Granted = field(default_factory=Granted)
    trace: Trace = untraced


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Uses = Annotated[Parts, Depends(_parts)]
