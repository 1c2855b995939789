"""A tenant's money, across its runs: reserve before spending, settle after.

A run's own spend is a fold of its events; this is the cap above all of them. Amounts are whole microdollars.
"""

from services.core import keys
from services.core.errors import BudgetSpent
from services.core.records import MICRODOLLARS
from services.core.redis import Client, answered, run_script


class Ledger:
    """The tenants' accounts."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @answered
    def set_cap(self, tenant: str, dollars: float | None) -> None:
        """Bound what the tenant may spend in all, or lift the bound."""
        if dollars is None:
            self._client.hdel(keys.ledger(tenant), "cap")
        else:
            self._client.hset(keys.ledger(tenant), "cap", round(dollars * MICRODOLLARS))

    def is_capped(self, tenant: str) -> bool:
        """Whether the tenant may not spend without bound."""
        return self.account(tenant)[2] is not None

    def reserve(self, tenant: str, name: str, microdollars: int) -> None:
        """Hold an amount under `name`; the same name again changes nothing. Raises `BudgetSpent`."""
        if microdollars <= 0:
            return
        pair = [keys.ledger(tenant), keys.holds(tenant)]
        verdict, value = run_script(self._client, "reserve", pair, [name, microdollars])
        if verdict == b"spent":
            left = int(value) / MICRODOLLARS
            wanted = microdollars / MICRODOLLARS
            text = f"tenant {tenant} has ${left:.2f} left of its budget and this needs ${wanted:.2f}; raise its cap"
            raise BudgetSpent(text, scope="tenant")

    def settle(self, tenant: str, name: str, microdollars: int) -> None:
        """Turn the hold `name` into what was spent. Repeating it changes nothing."""
        run_script(self._client, "settle", [keys.ledger(tenant), keys.holds(tenant)], [name, microdollars])

    @answered
    def holds(self, tenant: str, run: str) -> list[str]:
        """The names of what is held for one run of the tenant."""
        names = (name.decode() for name in self._client.hkeys(keys.holds(tenant)))
        return [name for name in names if name.partition(":")[2].startswith(f"{run}-")]

    @answered
    def account(self, tenant: str) -> tuple[int, int, int | None]:
        """Spent, reserved and cap of a tenant, in microdollars."""
        spent, reserved, cap = self._client.hmget(keys.ledger(tenant), "spent", "reserved", "cap")
        return int(spent or 0), int(reserved or 0), None if cap is None else int(cap)
