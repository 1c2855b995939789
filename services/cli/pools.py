"""Pools as lines for a person. Pure."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from services.cli.look import Look, Tone, seconds_text
from services.cli.plain import columns, cut, one_line
from services.cli.problems import Bewildering
from services.core.quantities import in_bytes

_TITLES = ("POOL", "GPUS", "FREE", "CORES", "FREE", "NODES", "RUNNING", "QUEUED", "$/HOUR", "")
_STALE_SECONDS = 30.0


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ShownPool(_Shown):
    """What is shown of a pool. None is what the controller cannot see."""

    name: str
    price_per_hour: float
    spot: bool = False
    queue: str = ""
    gpu_product: str = ""
    gpu_memory: int | None = None
    max_gpus: int = 0
    max_nodes: int = 1
    nodes: int | None = None
    gpus: int | None = None
    gpus_free: int | None = None
    cores: float | None = None
    cores_free: float | None = None
    running: int | None = None
    queued: int | None = None


class ShownPools(_Shown):
    """The answer of `GET /v1/pools`."""

    items: tuple[ShownPool, ...]
    age_seconds: float | None = None


def read_pools(wire: dict[str, Any]) -> ShownPools:
    """Raises `Bewildering` where `wire` lists no pools."""
    try:
        return ShownPools.model_validate(wire)
    except ValidationError as error:
        raise Bewildering("the API describes pools in a way this version does not know; update cohort") from error


def pool_lines(pools: ShownPools, look: Look) -> list[str]:
    """One line per pool under a line of names. `8/32`: 8 that are there, 32 that it can grow to."""
    rows = [_TITLES, *(_row(pool) for pool in pools.items)]
    widths = [max(columns(row[number]) for row in rows) for number in range(len(_TITLES) - 1)]
    lines = [cut(_line(row, widths).rstrip(), look.width) for row in rows]
    return [look.paint(lines[0], Tone.QUIET), *lines[1:]]


def age_text(pools: ShownPools) -> str:
    """How much the figures are worth."""
    if pools.age_seconds is None:
        return "no controller has looked at the pools yet"
    old = "; is the controller up?" if pools.age_seconds > _STALE_SECONDS else ""
    return f"as seen {seconds_text(pools.age_seconds)} ago{old}"


def _row(pool: ShownPool) -> tuple[str, ...]:
    memory = f" {in_bytes(pool.gpu_memory)}" if pool.gpu_memory else ""
    words = [f"{one_line(pool.gpu_product, 40)}{memory}".strip(), "spot" if pool.spot else ""]
    words.append(f"queue {one_line(pool.queue, 63)}" if pool.queue else "")
    return (
        one_line(pool.name, 32),
        _of(pool.gpus, pool.max_gpus) if pool.max_gpus else "-",
        _number(pool.gpus_free),
        _number(pool.cores),
        _number(pool.cores_free),
        _of(pool.nodes, pool.max_nodes),
        _number(pool.running),
        _number(pool.queued),
        f"{pool.price_per_hour:.2f}",
        ", ".join(word for word in words if word),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers, words = row
    aligned = [f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([f"{name:<{widths[0]}}", *aligned, words])


def _of(there: int | None, most: int) -> str:
    return f"{_number(there)}/{most}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
