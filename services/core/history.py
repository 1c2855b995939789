"""Runs that have left Redis: what is read of them comes from the archive.

In Redis such a run has a stub in place of its hash, which nobody can write to: it answers that the run is there, how
it stands and to which request it belongs, so that listings name it and a repeated request makes no second run.

| field | holds |
| --- | --- |
| request, status, tenant | as before |
| pruned | when it left, in milliseconds |
| last_seq | the seq of its last event |
| microdollars | what its log says was spent |
"""

from services.core import events as ev
from services.core.archive import Archive, AttemptRecords
from services.core.keys import Keys, run_of_attempt
from services.core.records import RunState
from services.core.redis import Client, translated

PRUNED = "pruned"


class History:
    """The runs of an install that have left Redis. Raises `StoreUnavailable` and what `Archive` raises."""

    def __init__(self, client: Client, keys: Keys, archive: Archive) -> None:
        self._client = client
        self._keys = keys
        self.archive = archive

    def has(self, run: str) -> bool:
        """Whether the run has left Redis."""
        with translated():
            return bool(self._client.hexists(self._keys.run(run), PRUNED))

    def state(self, run: str) -> RunState:
        """The last state of a run that has left."""
        return self.archive.state(run)

    def events(self, run: str, after: int, limit: int) -> list[ev.Event]:
        """Events of a run; none where it has not left."""
        return self.archive.events(run, after, limit) if self.has(run) else []

    def attempt(self, name: str) -> AttemptRecords:
        """What was known of an attempt, or of one rank of it; nothing where its run has not left."""
        run = run_of_attempt(name)
        found = self.archive.records(run).attempts.get(name) if self.has(run) else None
        return found or AttemptRecords()
