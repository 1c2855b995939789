"""Whether a store is sound. Reads, and changes nothing; what it finds it looks at again before it says so.

An install is never still: between two reads of the same look a run may have gone on. So whatever looks wrong is put
aside, and only what looks wrong in the same way at two later looks is reported.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from services.keeping.accounts import Account, Accounts, spent_differs
from services.keeping.entries import Entries
from services.keeping.findings import Finding
from services.keeping.holdings import Holdings
from services.keeping.install import Install
from services.keeping.keyspace import Named, members, walk
from services.keeping.run_look import RunLooks, costs
from services.keeping.suspects import Suspects


@dataclass
class Report:
    """What was looked at, and what was found."""

    runs: int = 0
    objects: int = 0
    objects_read: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.findings


class Verifier:
    """One look at a whole install. `fraction`: the share of the objects whose bytes are read. `pause` waits a little
    before a second look. In memory it has one number for each tenant, a bounded list of objects, and what looks wrong.
    """

    def __init__(self, install: Install, fraction: float, pause: Callable[[], None]) -> None:
        self._install = install
        self._pause = pause
        self._holdings = Holdings(install.artifacts, fraction)
        self._runs = RunLooks(install, self._holdings)
        self._entries = Entries(install)
        self._accounts = Accounts(install)

    def report(self, say: Callable[[int], None] = lambda _: None) -> Report:
        """Look at everything. `say` hears how many runs were looked at. Raises `StoreUnavailable`,
        `ArtifactStoreUnavailable`."""
        report, suspects = Report(), Suspects()
        before = {key.owner: self._accounts.account(key.owner) for key in walk(self._install.client, "{t:*")}
        logged: Counter[str] = Counter()
        api_keys: set[str] = set()
        for key in walk(self._install.client):
            match key.kind:
                case "key":
                    api_keys.add(key.rest)
                case "account":
                    before.setdefault(key.owner, Account(0, 0, {}))
                case "run" if not key.part and self._is_in_its_shard(key):
                    logged.update(self._run(suspects, key.owner))
                    report.runs += 1
                    say(report.runs)
                case _:
                    self._other(suspects, key)
        for tenant in sorted(before | logged):
            self._tenant(suspects, tenant, before.get(tenant, Account(0, 0, {})), logged[tenant])
        look = partial(self._accounts.api_keys, api_keys)
        suspects.add(("keys", ""), list(look()), look)
        found = suspects.confirmed(self._pause)
        report.findings = sorted(found, key=lambda one: (one.kind, one.subject, one.text))
        report.objects, report.objects_read = self._holdings.looked_at, self._holdings.read
        return report

    def _is_in_its_shard(self, key: Named) -> bool:
        return key.tag == self._install.keys.tag(key.owner)

    def _run(self, suspects: Suspects, run: str) -> dict[str, int]:
        """Look at one run; what it has spent, by tenant."""
        looked = self._runs.look(run)
        suspects.add(("run", run), looked.findings, lambda: self._runs.look(run).findings)
        return {looked.tenant: looked.microdollars} if looked.tenant else {}

    def _other(self, suspects: Suspects, key: Named) -> None:
        for finding in self._entries.look(key):
            again = partial(self._entries.look_again, finding)
            suspects.add((finding.subject, finding.member), [finding], again)

    def _tenant(self, suspects: Suspects, tenant: str, before: Account, logged: int) -> None:
        if found := spent_differs(tenant, before, logged, self._accounts.account(tenant)):
            suspects.add(("spent", tenant), [found], partial(self._spent, tenant))
        holds, gpus = partial(self._accounts.holds, tenant), partial(self._accounts.gpus, tenant)
        suspects.add(("holds", tenant), list(holds()), holds)
        suspects.add(("gpus", tenant), list(gpus()), gpus)

    def _spent(self, tenant: str) -> list[Finding]:
        """The tenant's account and all its runs' logs, read once more."""
        before = self._accounts.account(tenant)
        logged = [costs(self._install, run) for run in runs_of(self._install, tenant)]
        known = [cost for cost in logged if cost is not None]
        if len(known) < len(logged):
            # What cannot be read is a finding of its own.
            return []
        found = spent_differs(tenant, before, sum(known), self._accounts.account(tenant))
        return [found] if found else []


def runs_of(install: Install, tenant: str) -> Iterator[str]:
    """Every run of a tenant that is listed, researches too."""
    for tag in install.keys.tags():
        for listing in (install.keys.tenant, install.keys.researches):
            yield from members(install.client, listing(tag, tenant))
