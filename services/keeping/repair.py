"""What can be made again from a run's log without losing anything: its snapshot, its status, the indexes.

Each repair is one script that looks once more at what it rests on, and does nothing where that has moved. A run that
somebody works on is left alone: its worker has the old snapshot in mind and would write it again.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.core.gpus import GpuHolds
from services.core.keys import run_of_attempt
from services.core.redis import run_script
from services.keeping.entries import Entries
from services.keeping.facts import Facts, listings
from services.keeping.findings import Finding, Kind
from services.keeping.holdings import Holdings
from services.keeping.install import Install
from services.keeping.run_checks import expected_listings
from services.keeping.run_look import RunLooks

_OF_RUNS = frozenset({Kind.SNAPSHOT, Kind.STATUS, Kind.INDEX, Kind.DUE, Kind.UNARCHIVED})
_SAID = {
    "ok": "repaired",
    "moved": "it has moved on meanwhile: look again",
    "busy": "a worker has it at the moment: try again later",
    "gone": "it is gone",
}


@dataclass(frozen=True)
class Repaired:
    """What came of a repair: `outcome` in words."""

    subject: str
    outcome: str
    is_done: bool


class Repairs:
    """Repairs what was found. Raises `StoreUnavailable`, `ArtifactStoreUnavailable`."""

    def __init__(self, install: Install) -> None:
        self._install = install
        self._runs = RunLooks(install, Holdings(install.artifacts, 0.0))
        self._entries = Entries(install)

    def repair(self, findings: Iterable[Finding]) -> Iterator[Repaired]:
        """Repair what can be, one subject a step."""
        wanted = [finding for finding in findings if finding.is_repairable]
        for run in dict.fromkeys(finding.subject for finding in wanted if finding.kind in _OF_RUNS):
            yield self._run(run)
        for finding in wanted:
            if finding.kind is Kind.STRAY:
                yield self._stray(finding)
            if finding.kind is Kind.GPUS:
                yield self._gpus(finding)

    def _run(self, run: str) -> Repaired:
        looked = self._runs.look(run)
        if looked.facts is None or not looked.facts.fields:
            return _repaired(run, "gone")
        if looked.state is None:
            return Repaired(run, "its log cannot be followed, so nothing can be made from it", is_done=False)
        keys, state = self._install.keys, looked.state
        tag, expected = keys.tag(run), expected_listings(state, keys)
        possible = listings(keys, run, state.tenant)
        args: list[str | int] = [run, looked.facts.seq, looked.facts.fields.get("generation", "0"), state.status]
        args += [state.model_dump_json(), "1" if state.status.is_final else "", _wake(looked.facts)]
        args += ["" if name not in expected else repr(expected[name]) for name in possible]
        names = [keys.run(run), keys.due(tag), keys.ended(tag), keys.archived(tag), *possible]
        return _repaired(run, run_script(self._install.client, "repair_run", names, args).decode())

    def _stray(self, finding: Finding) -> Repaired:
        """Strike an entry off that names nothing, unless it has come to name something."""
        run, subject = run_of_attempt(finding.member), f"{finding.member} in {finding.subject}"
        if not finding.subject.startswith(self._install.keys.tag(run)):
            return Repaired(subject, "it lies in another shard than its run: nothing was done", is_done=False)
        seq = self._install.store.last_seq(run)
        if not self._entries.look_again(finding):
            return Repaired(subject, "it is right by now", is_done=True)
        keys, args = [finding.subject, self._install.keys.run(run)], [finding.member, str(seq or "")]
        return _repaired(subject, run_script(self._install.client, "repair_stray", keys, args).decode())

    def _gpus(self, finding: Finding) -> Repaired:
        if self._install.attempts.is_live(finding.member):
            return _repaired(finding.member, "moved")
        GpuHolds(self._install.client).release(finding.subject, finding.member)
        return _repaired(finding.member, "ok")


def _wake(facts: Facts) -> int:
    """When the run is due that is due no more: when it last said, or now."""
    now = int(time.time() * 1000)
    try:
        return max(now, int(float(facts.fields.get("wake_at", "0"))))
    except ValueError:
        return now


def _repaired(subject: str, verdict: str) -> Repaired:
    return Repaired(subject, _SAID[verdict], is_done=verdict == "ok")
