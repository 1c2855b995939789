"""Where Redis is lost, or older than its artifact store: what is archived comes back, as history that can be read.

A run that Redis has is never touched, whatever the archive says of it: it goes on from where Redis has it. Safe to
repeat, to kill at any point, and to do beside a working install.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.core.archive import RunRecords
from services.core.errors import NewerRecord, RunNotFound
from services.core.faults import reach
from services.core.keys import ledger, restoring
from services.core.records import RunState
from services.core.redis import run_script, translated
from services.keeping.install import Install
from services.keeping.run_checks import expected_listings


class Outcome(StrEnum):
    """What became of an archived run."""

    RESTORED = "restored"
    THERE = "there"
    AHEAD = "ahead"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Restored:
    """One run. `detail` says why it was not restored."""

    run: str
    outcome: Outcome
    detail: str = ""


class Restorer:
    """Restores archived runs. Raises `StoreUnavailable`, `ArtifactStoreUnavailable`."""

    def __init__(self, install: Install, *, dry_run: bool = False) -> None:
        self._install = install
        self._dry_run = dry_run

    def restore(self, wanted: Collection[str] = ()) -> Iterator[Restored]:
        """Restore these runs, or all that are archived, one a step."""
        tenants: set[str] = set()
        for run in list(wanted) or list(self._install.archive.runs()):
            try:
                state, records = self._read(run)
            except (RunNotFound, NewerRecord, ValueError, EOFError, OSError) as error:
                yield Restored(run, Outcome.UNREADABLE, str(error)[:300])
                continue
            tenants.add(state.tenant)
            yield self._restored(state, records)
        if not self._dry_run and not wanted:
            # Only after a pass over everything: what was counted must not be counted again before its run is there.
            for tenant in tenants:
                with translated():
                    self._install.client.delete(restoring(tenant))

    def _read(self, run: str) -> tuple[RunState, RunRecords]:
        archive = self._install.archive
        state = archive.fresh_state(run)
        if not archive.is_complete(run, state.seq):
            raise RunNotFound("its archive cannot be read to its end")
        return state, archive.fresh_records(run)

    def _restored(self, state: RunState, records: RunRecords) -> Restored:
        run, keys = state.run, self._install.keys
        seq = self._install.store.last_seq(run)
        if seq:
            is_ahead = seq < state.seq
            detail = f"Redis has it up to event {seq}, its archive up to {state.seq}: it goes on from {seq}"
            return Restored(run, Outcome.AHEAD, detail) if is_ahead else Restored(run, Outcome.THERE)
        if self._dry_run:
            return Restored(run, Outcome.RESTORED)
        pair = [ledger(state.tenant), restoring(state.tenant)]
        run_script(self._install.client, "restore_spent", pair, [run, records.microdollars])
        reach("keeping.spent_restored")
        listings = expected_listings(state, keys)
        args: list[str | int] = [run, records.request, state.status, state.tenant, state.seq, records.microdollars]
        args.append(int(state.created * 1000))
        verdict = run_script(self._install.client, "restore", [keys.run(run), *listings], args)
        reach("keeping.run_restored")
        return Restored(run, Outcome.RESTORED if verdict == b"ok" else Outcome.THERE)
