"""What Redis holds of all runs at one moment, read with few round trips: from indexes alone, no run is looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.core import keys as names
from services.core.keys import Keys
from services.core.live import LiveRun
from services.core.pool_states import Published
from services.core.redis import Client, answered, server_info


class Account(NamedTuple):
    """A tenant's money in microdollars. `cap` is None where there is none."""

    spent: int
    reserved: int
    cap: int | None


@dataclass(frozen=True)
class Survey:
    """`waiting`: runs that are due and that nobody holds, the first of them since `due_since` (in seconds since the
    epoch). `unarchived`: runs that ended and are not in the archive. `attempts`: live ones. `tenants`: those that have
    series of their own, with their accounts. `published`: what the leader last told of the pools. `servers`: what each
    server of the store says of itself."""

    live: Sequence[LiveRun]
    waiting: int
    due_since: float | None
    unarchived: int
    attempts: int
    tenants: Mapping[str, Account]
    published: Published | None
    servers: Sequence[Mapping[str, Any]]


@answered
def survey(client: Client, keys: Keys, now: float) -> Survey:
    """Look at everything once. Raises `StoreUnavailable`."""
    with client.pipeline(transaction=False) as asked:
        asked.smembers(names.roster("tenants"))
        asked.get(names.POOL_STATES)
        for tag in keys.tags():
            asked.zrangebyscore(keys.due(tag), "-inf", int(now * 1000), withscores=True)
            asked.zrange(keys.overdue(tag), 0, -1, withscores=True)
            asked.hvals(keys.live(tag))
            asked.zcard(keys.ended(tag))
            asked.zrange(keys.attempts(tag), 0, -1)
        tenants, published, *answers = asked.execute()
    shards = [_Shard(*answers[at : at + _PER_SHARD]) for at in range(0, len(answers), _PER_SHARD)]
    since = [shard.due_since for shard in shards if shard.due_since is not None]
    return Survey(
        live=[LiveRun.read(entry.decode()) for shard in shards for entry in shard.live],
        waiting=sum(shard.waiting for shard in shards),
        due_since=min(since, default=None),
        unarchived=sum(shard.ended for shard in shards),
        attempts=sum(shard.live_attempts for shard in shards),
        tenants=_accounts(client, sorted(tenant.decode() for tenant in tenants)),
        published=None if published is None else Published.model_validate_json(published),
        servers=server_info(client),
    )


class _Shard(NamedTuple):
    """What the indexes of one shard answer."""

    due: list[tuple[bytes, float]]
    overdue: list[tuple[bytes, float]]
    live: list[bytes]
    ended: int
    attempts: list[bytes]

    @property
    def waiting(self) -> int:
        # A run that the sweeper has named is in both, or has been put off.
        return len({run for run, _ in (*self.due, *self.overdue)})

    @property
    def due_since(self) -> float | None:
        return min((score / 1000 for _, score in (*self.due, *self.overdue)), default=None)

    @property
    def live_attempts(self) -> int:
        # The further ranks of one have a dot in their names.
        return sum(b"." not in name for name in self.attempts)


_PER_SHARD = len(_Shard._fields)


def _accounts(client: Client, tenants: Sequence[str]) -> dict[str, Account]:
    with client.pipeline(transaction=False) as asked:
        for tenant in tenants:
            asked.hmget(names.ledger(tenant), "spent", "reserved", "cap")
        rows = asked.execute()
    return {tenant: _account(*row) for tenant, row in zip(tenants, rows, strict=True)}


def _account(spent: bytes | None, reserved: bytes | None, cap: bytes | None) -> Account:
    return Account(int(spent or 0), int(reserved or 0), None if cap is None else int(cap))
