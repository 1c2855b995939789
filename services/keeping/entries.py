"""Whether every key and every entry of an index belongs to something that is there."""

from collections.abc import Callable, Iterator

from services.core.errors import NewerRecord, RunNotFound
from services.core.history import PRUNED
from services.core.keys import run_of_attempt, split_rank
from services.core.redis import translated
from services.core.store import RunStore
from services.keeping.findings import Finding, Kind
from services.keeping.install import Install
from services.keeping.keyspace import Named, batches, fields_of, members

_LISTINGS = ("tenant", "researches")


class Entries:
    """Looks at keys that are no run. Raises `StoreUnavailable`."""

    def __init__(self, install: Install) -> None:
        self._install = install

    def look(self, key: Named) -> Iterator[Finding]:
        """What is wrong with a key, or with the entries of an index."""
        if key.tag and key.tag not in self._install.keys.tags():
            yield Finding(Kind.SHARD, key.key, f"{key.tag} is a shard of more than {self._install.keys.shards}")
            return
        looks: dict[str, Callable[[Named], Iterator[Finding]]] = {
            "run": self._part,
            "attempt": self._part,
            "sandbox": self._part,
            "attempts": self._live,
        }
        yield from looks.get(key.kind, self._index)(key)

    def look_again(self, finding: Finding) -> list[Finding]:
        """The same finding, if it still holds."""
        key = finding.subject
        if finding.kind is Kind.SHARD:
            return [finding]
        if not finding.member:
            return [finding] if self._is_left_over(key, _run_of(key)) else []
        found = (
            self._judge_live(key, [finding.member]) if key.endswith(":attempts") else self._judge(key, [finding.member])
        )
        return list(found)

    # --- Keys of one run ------------------------------------------------------------------------------------------

    def _part(self, key: Named) -> Iterator[Finding]:
        run = run_of_attempt(key.owner)
        if self._install.keys.tag(run) != key.tag:
            text = f"it lies in shard {key.tag} and belongs into {self._install.keys.tag(run)}"
            yield Finding(Kind.SHARD, key.key, text)
        elif self._is_left_over(key.key, run):
            yield Finding(Kind.LEFTOVER, key.key, f"it belongs to run {run}, which is not there any more")

    def _is_left_over(self, key: str, run: str) -> bool:
        client, name = self._install.client, self._install.keys.run(run)
        with translated():
            # The key first: when a run leaves, both change at once.
            if not client.exists(key):
                return False
            return not client.exists(name) or (key != name and bool(client.hexists(name, PRUNED)))

    # --- Indexes --------------------------------------------------------------------------------------------------

    def _index(self, key: Named) -> Iterator[Finding]:
        for batch in batches(members(self._install.client, key.key)):
            yield from self._judge(key.key, batch)

    def _judge(self, key: str, runs: list[str]) -> Iterator[Finding]:
        """The entries of an index of runs that name none, or one that belongs elsewhere."""
        names = [self._install.keys.run(run) for run in runs]
        rows = fields_of(self._install.client, names, "tenant", "status")
        for run, (tenant, status) in zip(runs, rows, strict=True):
            if not self._is_listed(key, run):
                continue
            if tenant is None:
                yield Finding(Kind.STRAY, key, f"it names run {run}, which is not there", run)
            elif not _fits(key, tenant, status or ""):
                yield Finding(Kind.STRAY, key, f"it names run {run}, which is {status}, of tenant {tenant}", run)

    def _is_listed(self, key: str, member: str) -> bool:
        with translated():
            return self._install.client.zscore(key, member) is not None

    def _live(self, key: Named) -> Iterator[Finding]:
        for batch in batches(members(self._install.client, key.key)):
            yield from self._judge_live(key.key, batch)

    def _judge_live(self, key: str, names: list[str]) -> Iterator[Finding]:
        """The entries of the index of live attempts that name none."""
        for name in names:
            if not is_live_in_log(self._install.store, name) and self._is_listed(key, name):
                yield Finding(Kind.STRAY, key, f"it names {name}, which is no live attempt", name)


def is_live_in_log(store: RunStore, name: str) -> bool:
    """Whether the run's log says that this attempt, or this rank of one, is live. One that cannot be read is."""
    attempt, rank = split_rank(name)
    try:
        found = store.state(run_of_attempt(attempt)).live_attempt(attempt)
    except RunNotFound:
        return False
    except (NewerRecord, ValueError):
        return True
    return found is not None and rank < found.resources.nodes


def _run_of(key: str) -> str:
    return run_of_attempt(key.split(":")[2])


def _fits(key: str, tenant: str, status: str) -> bool:
    """Whether a run of this tenant that stands so may be in the index; those without either take all runs."""
    _, kind, *rest = key.split(":")
    return kind not in _LISTINGS or rest in ([tenant], [tenant, status])
