"""What outlives Redis of a run that is over: three objects in the artifact store, and how they are read.

| object | holds |
| --- | --- |
| `archive/<run>/events.jsonl.gz` | the log, one event a line, as clients see them |
| `archive/<run>/records.json.gz` | `RunRecords`: the conversation, and what is known of the attempts |
| `archive/<run>/state.json` | `RunState`, for the tools of others; written last |

The logs of its steps lie beside, under `logs/<run>/`, and its files under their digests.
"""

import gzip
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from pydantic import Field

from services.core import events as ev
from services.core.artifacts import ArtifactNotFound, ArtifactStore
from services.core.errors import RunNotFound
from services.core.record import Record, Versioned
from services.core.records import RunState

_STATE, _EVENTS, _RECORDS = "state.json", "events.jsonl.gz", "records.json.gz"
_STATES, _RUNS = 256, 8
_PREFIX = "archive/"
_RUN = re.compile(r"archive/(r[0-9a-z]{12})/state\.json")


class AttemptRecords(Record):
    """What Redis held of one attempt, or of one rank of it, as it stood there; see `attempts` and `logs`."""

    fields: dict[str, str] = Field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    outputs: dict[str, str] = Field(default_factory=dict)
    order: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()


class RunRecords(Versioned):
    """What Redis held of a run besides its log. `request` is the hash of the request that made it; `talk` the entries
    of the conversation, each a JSON text."""

    run: str
    seq: int
    request: str = ""
    microdollars: int = 0
    talk: tuple[str, ...] = ()
    attempts: dict[str, AttemptRecords] = Field(default_factory=dict)


class Archive:
    """The archived runs of an install. Safe to share between threads. Raises what `ArtifactStore` raises."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        # An archive never changes once its run has left Redis, and only then it is read.
        self._cached_state = lru_cache(maxsize=_STATES)(self.fresh_state)
        self._cached_records = lru_cache(maxsize=_RUNS)(self.fresh_records)

    # --- Reading --------------------------------------------------------------------------------------------------

    def state(self, run: str) -> RunState:
        """The run's last state. Raises `RunNotFound`, `NewerRecord`."""
        return self._cached_state(run)

    def records(self, run: str) -> RunRecords:
        """What else was known of the run. Raises `RunNotFound`, `NewerRecord`."""
        return self._cached_records(run)

    def events(self, run: str, after: int = 0, limit: int = 1000) -> list[ev.Event]:
        """Up to `limit` events with a seq above `after`, in order."""
        return [_event(line) for line in islice(self._lines(run), after, after + limit)]

    def fresh_state(self, run: str) -> RunState:
        """The same as `state`, as the store has it now."""
        return RunState.read(self._get(run, _STATE))

    def fresh_records(self, run: str) -> RunRecords:
        """The same as `records`, as the store has them now."""
        return RunRecords.read(gzip.decompress(self._get(run, _RECORDS)))

    def is_complete(self, run: str, seq: int) -> bool:
        """Whether all of the run up to event `seq` can be read. Reads all of it."""
        try:
            lines = sum(1 for _ in self._lines(run))
            found = (self.fresh_state(run).seq, self.fresh_records(run).seq, lines)
        except (RunNotFound, ValueError, EOFError, OSError):
            # Not there, cut off or of before there were records.
            return False
        return found == (seq, seq, seq)

    def runs(self) -> Iterator[str]:
        """Every run with an archive."""
        for key in self._artifacts.list_named(_PREFIX):
            if found := _RUN.fullmatch(key):
                yield found[1]

    # --- Writing --------------------------------------------------------------------------------------------------

    def write(self, state: RunState, lines: bytes, records: RunRecords) -> None:
        """Archive a run that is over. Repeating it writes the same again."""
        self._put(state.run, _EVENTS, gzip.compress(lines, mtime=0))
        self._put(state.run, _RECORDS, gzip.compress(records.model_dump_json().encode(), mtime=0))
        self._put(state.run, _STATE, state.model_dump_json(indent=1).encode())

    def remove(self, run: str) -> None:
        """Remove a run's archive; its state goes last, so that a removal that was cut off is found again."""
        for name in (_RECORDS, _EVENTS, _STATE):
            self._artifacts.delete_named(f"{_PREFIX}{run}/{name}")

    def _get(self, run: str, name: str) -> bytes:
        try:
            return self._artifacts.get_named(f"{_PREFIX}{run}/{name}")
        except ArtifactNotFound as error:
            raise RunNotFound(f"there is no run {run}, and no archive of it") from error

    def _put(self, run: str, name: str, data: bytes) -> None:
        self._artifacts.put_named(f"{_PREFIX}{run}/{name}", data)

    def _lines(self, run: str) -> Iterator[bytes]:
        return iter(gzip.decompress(self._get(run, _EVENTS)).splitlines())


def _event(line: bytes) -> ev.Event:
    wire = json.loads(line)
    data = ev.data_of(wire["event_type"], wire["data"])
    return ev.Event(run=wire["run"], seq=wire["seq"], time=wire["time"], turn=wire["turn"], data=data)
