"""Who holds how many GPUs of a tenant's quota, and who waits for some, first come first served.

Whoever waits first is served first, even where one that came later would fit: else a large one never had its turn.
"""

from dataclasses import dataclass

from services.core import keys
from services.core.redis import Client, answered, run_script


@dataclass(frozen=True)
class Shortage:
    """Why an attempt holds no GPUs yet: `held` by others, `before` it others wait. `is_final`: the quota is less."""

    held: int
    before: int
    is_final: bool


class GpuHolds:
    """The tenants' GPUs. Everything may be repeated."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def reserve(self, tenant: str, attempt: str, gpus: int, quota: int, since: float) -> Shortage | None:
        """Hold `gpus` for the attempt if it is its turn and together they are not more than `quota`; else it waits,
        with the others in the order of `since`. None: it holds them."""
        args = [attempt, gpus, quota, repr(since)]
        verdict, *figures = run_script(self._client, "gpus_reserve", _pair(tenant), args)
        if verdict == b"held":
            return None
        held, before = map(int, figures)
        return Shortage(held, before, is_final=verdict == b"never")

    def note(self, tenant: str, attempt: str, gpus: int) -> None:
        """The attempt has `gpus` already, whatever the quota says."""
        run_script(self._client, "gpus_note", _pair(tenant), [attempt, gpus])

    def release(self, tenant: str, attempt: str) -> None:
        """The attempt holds nothing any more, and waits for nothing."""
        run_script(self._client, "gpus_release", _pair(tenant), [attempt])

    @answered
    def held(self, tenant: str) -> dict[str, int]:
        """GPUs by the attempts that hold them."""
        return {name.decode(): int(gpus) for name, gpus in self._client.hgetall(keys.gpus(tenant)).items()}

    @answered
    def waiting(self, tenant: str) -> list[str]:
        """The attempts that wait, in their order."""
        return [name.decode() for name in self._client.zrange(keys.gpus_waiting(tenant), 0, -1)]


def _pair(tenant: str) -> list[str]:
    return [keys.gpus(tenant), keys.gpus_waiting(tenant)]
