"""What the sidecar sees of the program besides its bytes: the metrics it prints and the memory and CPU it uses.

Runs on a thread of its own beside the shipping of the log, reading the log at its own pace: a slow parser must not
hold the bytes back. Metrics are numbered from the log's start, so whatever is sent twice the API recognises.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from services.core.errors import CohortError
from services.runner.follow import LogFile
from services.runner.ship import AttemptClient, Fenced, Halt, Stopped
from services.runner.spool import Spool, Usage

log = structlog.get_logger()

READ_BYTES = 256 * 1024
BATCH = 500
MOST_WAITING = 10 * BATCH
PAUSE_SECONDS = 0.25
POST_SECONDS = 1.0
SAMPLE_SECONDS = 5.0


class Metric(Protocol):
    """One number the program reported."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def step(self) -> int | None: ...
    @property
    def epoch(self) -> float | None: ...
    @property
    def rank(self) -> int | None: ...


class MetricParser(Protocol):
    """Finds metrics in a log that comes in pieces. The same bytes give the same metrics, however they are cut."""

    def feed(self, data: bytes) -> Sequence[Metric]:
        """The metrics that `data` completes."""
        ...


@dataclass(frozen=True)
class Sample:
    """Use of memory and CPU at one moment; 100 percent is one core."""

    time: float
    rss_bytes: int
    cpu_percent: float


def sample(now: Usage, before: Usage | None) -> Sample:
    """The sample between two readings; without an earlier one there is no CPU to speak of yet."""
    elapsed = now.time - before.time if before else 0.0
    used = now.cpu_seconds - before.cpu_seconds if before else 0.0
    percent = 100.0 * max(0.0, used) / elapsed if elapsed > 0 else 0.0
    return Sample(now.time, now.rss_bytes, round(percent, 1))


class Observer:
    """Reads, samples and posts until the log is over and all is posted, or the halt says stop."""

    def __init__(self, spool: Spool, client: AttemptClient, halt: Halt, parser: MetricParser) -> None:
        self._spool = spool
        self._client = client
        self._halt = halt
        self._parser: MetricParser | None = parser
        self._log = LogFile(spool.log)
        self._position = 0
        self._seen = 0
        self._posted = spool.cursor().metrics
        self._waiting: list[Mapping[str, Any]] = []
        self._samples: list[Sample] = []
        self._warnings: list[Mapping[str, str]] = []
        self._usage: Usage | None = None
        self._final_size: int | None = None
        self._is_closed = False
        self._post_at = self._sample_at = 0.0
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    @property
    def posted(self) -> int:
        """How many metrics the API has."""
        return self._posted

    def start(self) -> None:
        self._thread.start()

    def finish(self, size: int) -> None:
        """The log ended at `size`: read and post the rest, then return. Raises `Fenced`, `Stopped`."""
        self._final_size = size
        while self._thread.is_alive():
            self._thread.join(PAUSE_SECONDS)
            self._halt.check()

    def warn(self, kind: str, text: str) -> None:
        """Have a warning posted."""
        self._warnings.append({"kind": kind, "text": text})

    def _run(self) -> None:
        try:
            while not self._is_done():
                busy = self._read()
                self._take_sample(time.monotonic())
                self._post(time.monotonic())
                if not busy and len(self._waiting) < BATCH and self._final_size is None:
                    self._halt.wait(PAUSE_SECONDS)
        except (Fenced, Stopped):
            log.debug("observer_stopped")
        except CohortError as error:
            # Observations are worth having, the log is worth more: it is shipped without them.
            log.error("observations_given_up", why=str(error))
        finally:
            self._log.close()

    def _is_done(self) -> bool:
        is_read = self._parser is None or self._is_closed
        return self._final_size is not None and is_read and not (self._waiting or self._samples or self._warnings)

    def _read(self) -> bool:
        """Parse the next piece of the log; False if there is none or enough is waiting to be posted."""
        if len(self._waiting) >= MOST_WAITING or self._parser is None:
            return False
        data = self._log.read(self._position, READ_BYTES)
        self._position += len(data)
        if self._position == self._final_size and not self._is_closed:
            # The last line may have no end of its own.
            self._is_closed = True
            data += b"\n"
        for metric in self._parse(self._parser, data):
            self._seen += 1
            if self._seen > self._posted:
                self._waiting.append(_as_json(metric))
        return bool(data)

    def _parse(self, parser: MetricParser, data: bytes) -> Sequence[Metric]:
        try:
            return parser.feed(data)
        except Exception:
            # The edge between what a stranger's program prints and the shipping of it: a line that breaks the parser
            # costs the metrics after it, and nothing else.
            log.exception("metrics_given_up", position=self._position)
            self.warn("metrics_given_up", f"metrics could not be read after byte {self._position}")
            self._parser = None
            return ()

    def _take_sample(self, now: float) -> None:
        if now < self._sample_at or self._final_size is not None:
            return
        usage = self._spool.usage()
        if usage is not None and usage != self._usage:
            self._samples.append(sample(usage, self._usage))
            self._usage = usage
            self._sample_at = now + SAMPLE_SECONDS

    def _post(self, now: float) -> None:
        if now < self._post_at and len(self._waiting) < BATCH and self._final_size is None:
            return
        metrics, samples, warnings = self._waiting[:BATCH], list(self._samples), list(self._warnings)
        if not (metrics or samples or warnings):
            return
        self._client.observe(
            {
                "first": self._posted,
                "metrics": metrics,
                "progress": None,
                "samples": [{**vars(each), "gpu": []} for each in samples],
                "warnings": warnings,
            }
        )
        self._posted += len(metrics)
        del self._waiting[: len(metrics)]
        del self._samples[: len(samples)]
        del self._warnings[: len(warnings)]
        self._post_at = now + POST_SECONDS


def _as_json(metric: Metric) -> Mapping[str, Any]:
    found = {"name": metric.name, "value": metric.value, "time": time.time()}
    optional = {"step": metric.step, "epoch": metric.epoch, "rank": metric.rank}
    return found | {key: value for key, value in optional.items() if value is not None}
