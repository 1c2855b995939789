"""Whether what tenants have is what their runs say: money spent and held, GPUs held, API keys."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.core import keys as names
from services.core.apikeys import KeyRecord
from services.core.errors import NewerRecord, RunNotFound
from services.core.gpus import GpuHolds
from services.core.keys import run_of_attempt, step_of_attempt
from services.core.redis import run_script, translated
from services.keeping.findings import Finding, Kind
from services.keeping.install import Install

# What is left over is given back by the controller's next rounds.
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Account:
    """A tenant's money, in microdollars. `forgotten` is what runs have spent of which nothing is left."""

    spent: int
    reserved: int
    holds: Mapping[str, int]
    forgotten: int = 0


class Accounts:
    """Looks at what tenants have. Raises `StoreUnavailable`."""

    def __init__(self, install: Install) -> None:
        self._install = install

    def account(self, tenant: str) -> Account:
        """The tenant's account now."""
        three = [names.ledger(tenant), names.holds(tenant), names.forgetting(tenant)]
        spent, reserved, forgotten, held, going = run_script(self._install.client, "account", three, [])
        leaving = sum(amount for run, amount in _amounts(going).items() if not self._is_here(run))
        return Account(int(spent), int(reserved), _amounts(held), int(forgotten) + leaving)

    def holds(self, tenant: str) -> Iterator[Finding]:
        """What is wrong with what is held on the tenant's account."""
        account = self.account(tenant)
        total = sum(account.holds.values())
        if account.reserved != total:
            text = f"{account.reserved} microdollars are reserved, and its holds come to {total}"
            yield Finding(Kind.LEDGER, tenant, text)
        for name in sorted(account.holds):
            if not self._is_wanted(name):
                yield Finding(Kind.HOLD, tenant, f"{name} holds {account.holds[name]} microdollars for nothing")

    def gpus(self, tenant: str) -> Iterator[Finding]:
        """The attempts that hold GPUs of the tenant's quota and are long over."""
        for attempt in sorted(GpuHolds(self._install.client).held(tenant)):
            if not self._is_live_or_fresh(attempt):
                yield Finding(Kind.GPUS, tenant, f"{attempt} holds GPUs and is over", attempt)

    def api_keys(self, known: Collection[str]) -> Iterator[Finding]:
        """What is wrong with the API keys, of which these were found by their name."""
        client = self._install.client
        with translated():
            indexed = {key.decode() for key in client.smembers(names.API_KEY_INDEX)}
        for key in sorted(indexed | set(known)):
            yield from self._api_key(key, is_indexed=key in indexed)

    def _api_key(self, key: str, *, is_indexed: bool) -> Iterator[Finding]:
        with translated():
            record, secret = self._install.client.hmget(names.api_key(key), "record", "secret")
        if record is None or secret is None:
            yield Finding(Kind.KEY, key, "this API key is listed and has no record")
            return
        try:
            KeyRecord.read(record)
        except ValueError:
            yield Finding(Kind.KEY, key, "the record of this API key cannot be read")
        if not is_indexed:
            yield Finding(Kind.KEY, key, "this API key is good and is not listed")

    def _is_wanted(self, hold: str) -> bool:
        """Whether something may still be paid with a hold: its run is not archived yet."""
        run = run_of_attempt(hold.partition(":")[2])
        keys = self._install.keys
        with translated():
            if not self._install.client.exists(keys.run(run)):
                return False
            return self._install.client.zscore(keys.archived(keys.tag(run)), run) is None

    def _is_here(self, run: str) -> bool:
        with translated():
            return bool(self._install.client.exists(self._install.keys.run(run)))

    def _is_live_or_fresh(self, attempt: str) -> bool:
        if self._install.attempts.is_live(attempt):
            return True
        try:
            steps = self._install.store.state(run_of_attempt(attempt)).steps
        except RunNotFound:
            return False
        except (NewerRecord, ValueError):
            return True
        step = steps.get(step_of_attempt(attempt))
        ended = next((one.ended for one in (step.attempts if step else ()) if one.id == attempt), None)
        return ended is not None and time.time() - ended < _PATIENCE_SECONDS


def spent_differs(tenant: str, before: Account, logged: int, after: Account) -> Finding | None:
    """Whether an account says something else than the logs of the tenant's runs, which were read between two looks
    at it. Money is settled after its event: what is settled must be logged, and what is logged is settled or held.
    """
    here_before, here_after = before.spent - after.forgotten, after.spent - after.forgotten
    if here_before > logged or (here_after < logged and not after.holds):
        text = f"its account says that its runs spent {here_after} microdollars, their logs say {logged}"
        return Finding(Kind.LEDGER, tenant, text)
    return None


def _amounts(fields: Sequence[bytes]) -> dict[str, int]:
    texts = [part.decode() for part in fields]
    return {name: int(value) for name, value in zip(texts[::2], texts[1::2], strict=True)}
