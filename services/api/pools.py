"""The pools that steps run on, and what they hold at the moment."""

import time

from fastapi import APIRouter
from starlette.responses import Response

from services.api.auth import Reader
from services.api.parts import Uses
from services.api.views import PoolList, PoolView, answer
from services.core.pool_states import PoolState, PoolStates
from services.core.pools import Pool

router = APIRouter(prefix="/v1/pools", tags=["pools"])


@router.get("", response_model=PoolList)
def list_pools(_: Reader, parts: Uses) -> Response:
    """Every pool: what it is, what it costs, and what the controller saw in it `age_seconds` ago.

    A figure that nobody can see is null. The counts are of all tenants together.
    """
    published = PoolStates(parts.store.client).newest()
    seen = {state.name: state for state in published.pools} if published else {}
    age = max(0.0, time.time() - published.time) if published else None
    return answer(PoolList(items=[_view(pool, seen.get(pool.name)) for pool in parts.pools.pools], age_seconds=age))


def _view(pool: Pool, state: PoolState | None) -> PoolView:
    figures = state.model_dump(exclude={"name"}) if state else {}
    return PoolView(
        name=pool.name,
        price_per_hour=pool.price_per_hour,
        spot=pool.spot,
        queue=pool.queue,
        gpu_product=pool.gpu_product,
        gpu_memory=pool.gpu_memory,
        gpus_per_node=pool.gpus_per_node,
        max_nodes=pool.nodes,
        max_gpus=pool.gpus_per_node * pool.nodes,
        max_cpu=pool.max_cpu,
        max_memory=pool.max_memory,
        **figures,
    )
