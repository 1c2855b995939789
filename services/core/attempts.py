"""What is known of an attempt while it lives: who claimed it, that it breathes, what it measured, how it ended.

Written by the runner's ingest, read by the controller and by whoever shows a run. The log's bytes are in `logs`, the
run's own view of its attempts is in its event log. Which attempts are live is decided there too: `RunStore` keeps the
set in which every write here looks its attempt up, so nothing of an attempt that is over can change.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

from pydantic_core import from_json

from services.core.archive import AttemptRecords
from services.core.errors import BadRequest, CohortError
from services.core.history import History
from services.core.keys import CONTROLLER_CHANNEL, Keys, rank_id, run_channel, run_of_attempt, split_rank
from services.core.observations import (
    MAX_OUTPUTS,
    FinishReport,
    Metric,
    Observations,
    Progress,
    Sample,
    Warned,
)
from services.core.record import Record
from services.core.records import Attempt, FileRef
from services.core.redis import Client, answered, run_script

MAX_METRICS = 100_000
MAX_SAMPLES = 1_000
MAX_WARNINGS = 100
_ANNOUNCED_METRICS = 8


class AttemptOver(CohortError):
    """The attempt is not live (any more): nothing of it is taken. The runner stops."""


class AttemptTaken(CohortError):
    """Another execution claimed the attempt first: this one must not run the user's program."""


class AttemptRecord(Record):
    """What is known of one attempt now, or of one rank of it.

    Times are seconds since the epoch, None where it hasn't happened.
    `checkpoint` is the snapshot of the newest version of its checkpoint directory, which is number `checkpoint_number`.
    """

    attempt: str
    pod_uid: str = ""
    claimed_at: float | None = None
    heartbeat_at: float | None = None
    log_bytes: int = 0
    first_output_at: float | None = None
    last_output_at: float | None = None
    progress: Progress | None = None
    metrics_count: int = 0
    metrics_dropped: int = 0
    warnings_count: int = 0
    finish: FinishReport | None = None
    log_complete: bool = False
    checkpoint: str = ""
    checkpoint_number: int = 0

    @property
    def gap_bytes(self) -> int:
        """How much of the output is known to be lost."""
        return self.finish.gap_bytes if self.finish else 0


class Reading(NamedTuple):
    """One value of a series, without what drawing a line does not take."""

    name: str
    value: float
    step: int | None
    time: float


class AttemptStore:
    """The attempts of one install. Safe to share between threads; every write may be sent twice."""

    def __init__(self, client: Client, keys: Keys, history: History | None = None) -> None:
        """With a `history`, attempts of runs that have left Redis are read too."""
        self._client = client
        self._keys = keys
        self._history = history

    # --- Reading --------------------------------------------------------------------------------------------------

    @answered
    def live(self) -> list[str]:
        """Every live attempt, oldest first within each shard. The further ranks of one are no attempts."""
        rows = (self._client.zrange(self._keys.attempts(tag), 0, -1) for tag in self._keys.tags())
        return [row.decode() for shard in rows for row in shard if split_rank(row.decode())[1] == 0]

    @answered
    def is_live(self, attempt: str) -> bool:
        """True between the attempt's submission and its end in the run's log."""
        return self._client.zscore(self._live_key(attempt), attempt) is not None

    @answered
    def record(self, attempt: str) -> AttemptRecord:
        """What is known of the attempt; an empty record where nothing is."""
        return self._read(attempt, self._client.hgetall(self._keys.attempt(attempt)))

    def records(self, attempt: str, nodes: int) -> list[AttemptRecord]:
        """What is known of each rank of the attempt, which runs on so many nodes."""
        return self._records([rank_id(attempt, rank) for rank in range(nodes)])

    def records_of(self, attempts: Sequence[Attempt]) -> list[list[AttemptRecord]]:
        """The same of several attempts of one run, asked for at once."""
        names = [[rank_id(one.id, rank) for rank in range(one.resources.nodes)] for one in attempts]
        found = iter(self._records(list(chain.from_iterable(names))))
        return [list(islice(found, len(ranks))) for ranks in names]

    @answered
    def _records(self, names: Sequence[str]) -> list[AttemptRecord]:
        with self._client.pipeline(transaction=False) as asked:
            for name in names:
                asked.hgetall(self._keys.attempt(name))
            found = asked.execute()
        return [self._read(name, fields) for name, fields in zip(names, found, strict=True)]

    def _read(self, name: str, fields: Mapping[bytes, bytes]) -> AttemptRecord:
        texts = {field.decode(): value.decode() for field, value in fields.items()}
        return _record(name, texts or self._past(name).fields)

    def _past(self, name: str) -> AttemptRecords:
        """What there was of an attempt that Redis knows nothing of."""
        return AttemptRecords() if self._history is None else self._history.attempt(name)

    @answered
    def metrics(self, attempt: str, start: int = 0, limit: int = 1_000) -> list[Metric]:
        """Up to `limit` metrics from position `start` on, in the order in which they came."""
        rows = self._client.lrange(self._keys.attempt(attempt, "metrics"), start, start + limit - 1)
        rows = rows or self._past(attempt).metrics[start : start + limit]
        return [Metric.model_validate_json(row) for row in rows]

    @answered
    def readings(self, attempt: str, start: int = 0, limit: int = 1_000) -> list[Reading]:
        """The same in a tenth of the time, for who reads all there are."""
        rows = self._client.lrange(self._keys.attempt(attempt, "metrics"), start, start + limit - 1)
        found = (from_json(row) for row in rows)
        return [Reading(one["name"], float(one["value"]), one.get("step"), one["time"]) for one in found]

    @answered
    def samples(self, attempt: str) -> list[Sample]:
        """The newest samples of what the program used, in order."""
        rows = self._client.lrange(self._keys.attempt(attempt, "samples"), 0, -1) or self._past(attempt).samples
        return [Sample.model_validate_json(row) for row in rows]

    @answered
    def warnings(self, attempt: str) -> list[Warned]:
        """The first warnings, each once, in the order in which they came."""
        rows = self._client.zrange(self._keys.attempt(attempt, "warnings"), 0, -1) or self._past(attempt).warnings
        return [Warned.model_validate_json(row) for row in rows]

    @answered
    def outputs(self, attempt: str) -> list[FileRef]:
        """The output files that have been uploaded, by path."""
        rows = self._client.hvals(self._keys.attempt(attempt, "outputs")) or self._past(attempt).outputs.values()
        return sorted(
            (FileRef.model_validate_json(row) for row in rows),
            key=lambda file: file.path,
        )

    # --- Writing --------------------------------------------------------------------------------------------------

    def claim(self, attempt: str, pod_uid: str) -> None:
        """Make the execution `pod_uid` the attempt's only one. Raises `AttemptOver`, `AttemptTaken`."""
        _check(
            attempt,
            self._run("attempt_claim", attempt, [], [pod_uid, CONTROLLER_CHANNEL]),
        )

    def heartbeat(self, attempt: str, pod_uid: str) -> None:
        """Note that the execution lives. Raises `AttemptOver`, and `AttemptTaken` where another has claimed."""
        _check(attempt, self._run("attempt_heartbeat", attempt, [], [pod_uid]))

    def observe(self, attempt: str, seen: Observations) -> None:
        """Append a batch; what of it came before is left out. Raises `AttemptOver`.

        Metrics beyond `MAX_METRICS` are counted as dropped, of samples the newest are kept, of warnings the first.
        """
        progress = seen.progress.model_dump_json() if seen.progress else ""
        args: list[str | int] = [
            seen.first,
            progress,
            run_channel(run_of_attempt(attempt)),
        ]
        args += [_announcement(attempt, seen), MAX_METRICS, MAX_SAMPLES, MAX_WARNINGS]
        args += [
            len(seen.metrics),
            *(metric.model_dump_json(exclude_none=True) for metric in seen.metrics),
        ]
        args.append(len(seen.samples))
        for sample in seen.samples:
            args += [repr(sample.time), sample.model_dump_json(exclude_none=True)]
        args += [
            len(seen.warnings),
            *(warning.model_dump_json() for warning in seen.warnings),
        ]
        _check(
            attempt,
            self._run("attempt_observe", attempt, ["metrics", "samples", "warnings"], args),
        )

    def add_output(self, attempt: str, file: FileRef) -> None:
        """Note that an output file is in the artifact store. Raises `AttemptOver`, `BadRequest` beyond the limit."""
        args: list[str | int] = [file.path, file.model_dump_json(), MAX_OUTPUTS]
        verdict = self._run("attempt_output", attempt, ["outputs"], args)
        if verdict == "full":
            raise BadRequest(
                f"an attempt may have {MAX_OUTPUTS} outputs; pack the rest into an archive",
                field="path",
            )
        _check(attempt, verdict)

    def add_checkpoint(self, attempt: str, number: int, snapshot: str) -> None:
        """Note the attempt's newest checkpoint. An older number changes nothing. Raises `AttemptOver`."""
        _check(attempt, self._run("attempt_checkpoint", attempt, [], [number, snapshot]))

    def finish(self, attempt: str, report: FinishReport, *, log_complete: bool) -> None:
        """Record how the attempt ended; the first report stands. Raises `AttemptOver`."""
        args = [
            report.model_dump_json(),
            "1" if log_complete else "0",
            CONTROLLER_CHANNEL,
        ]
        _check(attempt, self._run("attempt_finish", attempt, [], args))

    def _run(
        self,
        script: str,
        attempt: str,
        parts: list[str],
        args: Sequence[str | int],
    ) -> str:
        keys = [self._live_key(attempt), self._keys.attempt(attempt)]
        keys += [self._keys.attempt(attempt, part) for part in parts]
        verdict: bytes = run_script(self._client, script, keys, [attempt, *args])
        return verdict.decode()

    def _live_key(self, attempt: str) -> str:
        return self._keys.attempts(self._keys.tag(run_of_attempt(attempt)))


def _check(attempt: str, verdict: str) -> None:
    if verdict == "over":
        raise AttemptOver(f"attempt {attempt} is over, or never was")
    if verdict == "taken":
        raise AttemptTaken(f"attempt {attempt} belongs to another execution")


def _record(attempt: str, fields: Mapping[str, str]) -> AttemptRecord:
    values: dict[str, object] = dict(fields)
    for name, kind in (("progress", Progress), ("finish", FinishReport)):
        if name in values:
            values[name] = kind.model_validate_json(str(values[name]))
    return AttemptRecord.model_validate({"attempt": attempt, **values})


def _announcement(attempt: str, seen: Observations) -> str:
    """What watchers of the run are shown at once, '' if there is nothing to show. A hint; the records are the truth.

    Of an attempt on several nodes it is what its first rank says.
    """
    if (seen.progress is None and not seen.metrics) or split_rank(attempt)[1]:
        return ""
    last = [metric.model_dump_json(exclude_none=True) for metric in seen.metrics[-_ANNOUNCED_METRICS:]]
    progress = seen.progress.model_dump_json() if seen.progress else "null"
    return f'{{"attempt":{json.dumps(attempt)},"progress":{progress},"metrics":[{",".join(last)}]}}'
