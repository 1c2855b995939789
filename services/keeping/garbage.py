"""What may go from the artifact store: objects that nobody names, logs of runs that nobody knows, old archives.

Mark and sweep. A writer stores an object before it names it, so what is young is never garbage: the grace is longer
than anybody takes from the one to the other, and whoever wants an old object again makes it young (see `shelf`).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from services.core.errors import NewerRecord, RunNotFound
from services.core.faults import reach
from services.core.history import PRUNED
from services.core.keys import forgetting, ledger
from services.core.records import RunState
from services.core.redis import run_script, translated
from services.keeping.facts import listings
from services.keeping.install import Install
from services.keeping.marks import Marks

log = structlog.get_logger()

LEAST_GRACE_SECONDS = 2 * 86_400.0


@dataclass
class Swept:
    """What went, or would go: how much of what."""

    kept: int = 0
    objects: int = 0
    object_bytes: int = 0
    logs: int = 0
    log_bytes: int = 0
    archives: list[str] = field(default_factory=list)


class Garbage:
    """Removes what is garbage; with `dry_run` it only counts. Raises `StoreUnavailable`, `ArtifactStoreUnavailable`."""

    def __init__(self, install: Install, *, dry_run: bool = False) -> None:
        self._install = install
        self._dry_run = dry_run
        self._known: dict[str, bool] = {}

    def objects(self, grace_seconds: float) -> Swept:
        """Remove the objects that nobody names, and the logs of runs that nobody knows."""
        began, swept = time.time(), Swept()
        before = began - max(grace_seconds, LEAST_GRACE_SECONDS)
        marks = Marks(self._install.artifacts)
        marks.take_redis(self._install.client)
        marks.take_archives()
        reach("keeping.marked")
        for entry in self._install.artifacts.stored():
            if entry.key in marks or entry.written >= before or not self._discard(entry.key, before):
                swept.kept += 1
                continue
            swept.objects += 1
            swept.object_bytes += entry.size
        for entry in self._install.artifacts.stored_named("logs"):
            if entry.written < before and not self._is_known(entry.key.split("/")[1]):
                self._delete(entry.key)
                swept.logs += 1
                swept.log_bytes += entry.size
        return swept

    def archives(self, older_than_seconds: float) -> Iterator[str]:
        """Remove what is left of runs that ended so long ago and have left Redis, one a step. Nobody can read them
        afterwards; their objects are garbage from then on."""
        before = time.time() - older_than_seconds
        for run in list(self._install.archive.runs()):
            try:
                state = self._install.archive.fresh_state(run)
            except (RunNotFound, NewerRecord, ValueError):
                # Of a newer version, or damaged: nobody can say how old it is.
                log.warning("archive_not_read", run=run)
                continue
            if (state.ended or state.updated) < before and self._may_go(run):
                if not self._dry_run:
                    self.forget(state)
                yield run

    def forget(self, state: RunState) -> None:
        """Remove all of one run that has left Redis. Safe to repeat, and to kill at any point: it is not seen any more
        before the first of its files goes, and what its tenant spent stays counted."""
        install, run = self._install, state.run
        pair = [ledger(state.tenant), forgetting(state.tenant)]
        with translated():
            spent = install.client.hget(install.keys.run(run), "microdollars")
            if spent is not None:
                install.client.hset(pair[1], run, spent)
        reach("keeping.forgetting")
        names = [install.keys.run(run), *listings(install.keys, run, state.tenant)]
        run_script(install.client, "forget", names, [run])
        reach("keeping.run_forgotten")
        run_script(install.client, "forget_spent", pair, [run])
        for name in install.artifacts.list_named(f"logs/{run}/"):
            install.artifacts.delete_named(name)
        install.archive.remove(run)
        log.info("run_forgotten", run=run)

    def _may_go(self, run: str) -> bool:
        """Whether the run is not in Redis, or only its stub is."""
        with translated():
            name = self._install.keys.run(run)
            return not self._install.client.exists(name) or bool(self._install.client.hexists(name, PRUNED))

    def _is_known(self, run: str) -> bool:
        """Whether Redis or an archive has the run. Redis first: a run that leaves it has an archive by then."""
        if run not in self._known:
            with translated():
                is_here = bool(self._install.client.exists(self._install.keys.run(run)))
            self._known[run] = is_here or bool(self._install.artifacts.list_named(f"archive/{run}/"))
        return self._known[run]

    def _discard(self, sha256: str, before: float) -> bool:
        return self._dry_run or self._install.artifacts.discard(sha256, before)

    def _delete(self, name: str) -> None:
        if not self._dry_run:
            self._install.artifacts.delete_named(name)
