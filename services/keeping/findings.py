"""What can be wrong with a store, each with what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A class of finding; stable, for programs."""

    SHARD = "shard"
    LOG = "log"
    SNAPSHOT = "snapshot"
    STATUS = "status"
    INDEX = "index"
    DUE = "due"
    UNARCHIVED = "unarchived"
    STRAY = "stray"
    LEFTOVER = "leftover"
    LEASE = "lease"
    LIVE = "live"
    OBJECT = "object"
    STEP_LOG = "step-log"
    ARCHIVE = "archive"
    LEDGER = "ledger"
    HOLD = "hold"
    GPUS = "gpus"
    KEY = "key"
    NEWER = "newer"

    @property
    def what_to_do(self) -> str:
        return _WHAT_TO_DO[self]


_BACKUP = "restore it from a backup (docs/backup.md)"
_REPAIR = "`cohort admin verify --repair` makes it what the run's log says"
_WHAT_TO_DO = {
    Kind.SHARD: "set COHORT_SHARDS to what the install began with, for every service",
    Kind.LOG: f"the log is the truth, and cannot be made again: {_BACKUP}",
    Kind.SNAPSHOT: _REPAIR,
    Kind.STATUS: _REPAIR,
    Kind.INDEX: _REPAIR,
    Kind.DUE: f"nobody would ever take the run up: {_REPAIR}",
    Kind.UNARCHIVED: "`cohort admin verify --repair` puts it on the controller's list again",
    Kind.STRAY: "`cohort admin verify --repair` strikes it off",
    Kind.LEFTOVER: "the run was lost, or its keys removed by hand: restore Redis from a backup, or remove this key too",
    Kind.LEASE: "look at the clocks of the machines that run Redis; the lease ends when it says",
    Kind.LIVE: "have the controller running and look again; if it stays, cancel the run",
    Kind.OBJECT: f"{_BACKUP}: the object alone is enough",
    Kind.STEP_LOG: f"{_BACKUP}: the object alone is enough; what is lost of a step's log is lost",
    Kind.ARCHIVE: f"{_BACKUP}: the files below archive/ are enough",
    Kind.LEDGER: "if runs were lost or Redis was restored, that is why: set the tenant's cap by what was really spent",
    Kind.HOLD: "have the controller running, which settles what is left over when it archives a run, and look again",
    Kind.GPUS: "`cohort admin verify --repair` gives them back",
    Kind.KEY: "make a new key with `cohort admin keys create`, and revoke this one",
    Kind.NEWER: "not looked at: verify with the newer version",
}

REPAIRABLE = frozenset(
    {Kind.SNAPSHOT, Kind.STATUS, Kind.INDEX, Kind.DUE, Kind.UNARCHIVED, Kind.STRAY, Kind.GPUS},
)


@dataclass(frozen=True)
class Finding:
    """Something that is not as it has to be. `subject` is a run, an attempt, a tenant or a key; `member` an entry of
    that key. `text` stays the same as long as nothing changes."""

    kind: Kind
    subject: str
    text: str
    member: str = ""

    @property
    def is_repairable(self) -> bool:
        return self.kind in REPAIRABLE

    def wire(self) -> dict[str, object]:
        """For programs."""
        return {
            "kind": str(self.kind),
            "subject": self.subject,
            "text": self.text,
            "what_to_do": self.kind.what_to_do,
            "repairable": self.is_repairable,
        }
