"""What the sidecar sees of the program besides its bytes: the metrics it prints, the memory, CPU and GPUs it uses, and
what of that somebody should be warned of.

Runs on a thread of its own beside the shipping of the log, reading the log at its own pace: a slow parser must not
hold the bytes back. Metrics are numbered from the log's start, so whatever is sent twice the API recognises.
"""

import math
import threading
import time

import structlog

from services.core.errors import CohortError
from services.core.observations import GpuSample, Metric, Observations, Progress, Sample, Warned
from services.runner.follow import LogFile
from services.runner.gpus import Gpus
from services.runner.metrics import MetricReader
from services.runner.ship import AttemptClient, Fenced, Halt, Stopped
from services.runner.spool import Spool, Usage

log = structlog.get_logger()

READ_BYTES = 64 * 1024
BATCH = 500
MOST_WAITING = 10 * BATCH
PAUSE_SECONDS = 0.25
POST_SECONDS = 1.0
SAMPLE_SECONDS = 5.0
# Longer than this after the log's end nobody waits for the metrics of a flood.
READ_ON_SECONDS = 20.0


def sample(now: Usage, before: Usage | None, gpu: tuple[GpuSample, ...] = ()) -> Sample:
    """The sample between two readings; 100 percent is one core. Without an earlier reading CPU is not known."""
    percent = None
    if before is not None and now.time > before.time:
        used = max(0.0, now.cpu_seconds - before.cpu_seconds)
        percent = round(100.0 * used / (now.time - before.time), 1)
    return Sample(time=now.time, rss_bytes=now.rss_bytes, cpu_percent=percent, gpu=gpu)


class Observer:
    """Reads, samples and posts on its `thread`, until the log is over and all is posted, or the halt says stop."""

    def __init__(self, spool: Spool, client: AttemptClient, halt: Halt, reader: MetricReader) -> None:
        self._spool = spool
        self._client = client
        self._halt = halt
        self._reader: MetricReader | None = reader
        self._gpus = Gpus()
        self._log = LogFile(spool.log)
        self._position = 0
        self._seen = 0
        self._posted = spool.cursor().metrics
        self._waiting: list[Metric] = []
        self._samples: list[Sample] = []
        self._unseen: list[Sample] = []
        self._warnings: list[Warned] = []
        self._progress: Progress | None = None
        self._usage: Usage | None = None
        self._final_size: int | None = None
        self._over = threading.Event()
        self._give_up_at = math.inf
        # While the log itself is behind, the interpreter's one lock is better left to it.
        self.is_held = False
        self._post_at = self._sample_at = 0.0
        self.thread = threading.Thread(target=self._run, name="observer", daemon=True)

    @property
    def posted(self) -> int:
        """How many metrics the API has."""
        return self._posted

    def finish(self, size: int) -> None:
        """The log ended at `size`: read and post the rest within bounds, then return. Raises `Fenced`, `Stopped`."""
        self._give_up_at = time.monotonic() + READ_ON_SECONDS
        self._final_size = size
        self._over.set()
        while self.thread.is_alive():
            self.thread.join(PAUSE_SECONDS)
            self._halt.check()

    def warn(self, kind: str, text: str) -> None:
        """Have a warning posted."""
        self._warnings.append(Warned(kind=kind, text=text))

    def _run(self) -> None:
        try:
            while not self._is_done():
                is_busy = self._read()
                self._take_sample(time.monotonic())
                self._look_out(time.monotonic())
                self._post(time.monotonic())
                if not is_busy and len(self._waiting) < BATCH:
                    self._over.wait(PAUSE_SECONDS)
                    self._halt.check()
        except (Fenced, Stopped):
            log.debug("observer_stopped")
        except CohortError as error:
            # Observations are worth having, the log is worth more: it is shipped without them.
            log.error("observations_given_up", why=str(error))
        finally:
            self._log.close()

    def _is_done(self) -> bool:
        left = self._waiting or self._samples or self._warnings or self._progress
        return self._final_size is not None and self._reader is None and not left

    def _read(self) -> bool:
        """Read metrics from the log's next piece; False if there is none or enough is waiting to be posted."""
        if self._reader is None or self.is_held or len(self._waiting) >= MOST_WAITING:
            return False
        if time.monotonic() > self._give_up_at:
            self._give_up(f"metrics after byte {self._position} were not read: the log is too long")
            return False
        is_last = self._position == self._final_size
        data = b"" if is_last else self._log.read(self._position, READ_BYTES)
        self._position += len(data)
        try:
            metrics = self._reader.finish() if is_last else self._reader.feed(data)
            now = time.monotonic()
            if metrics and len(data) < READ_BYTES:
                # What was printed while nobody read tells nothing of the program's pace.
                self._reader.moved(now)
            self._progress = self._reader.progress(now) or self._progress
        except Exception:
            # The edge between what a stranger's program prints and the shipping of it: a line that breaks the reader
            # costs the metrics from there on, and nothing else.
            log.exception("metrics_given_up", position=self._position)
            self._give_up(f"metrics after byte {self._position} could not be read")
            return False
        for metric in metrics:
            self._seen += 1
            if self._seen > self._posted:
                self._waiting.append(metric)
        if is_last:
            self._reader = None
        return bool(data)

    def _give_up(self, why: str) -> None:
        self._reader = None
        self.warn("metrics_given_up", why)

    def _take_sample(self, now: float) -> None:
        if now < self._sample_at or self._final_size is not None:
            return
        usage = self._spool.usage()
        if usage is not None and usage != self._usage:
            self._samples.append(sample(usage, self._usage, self._gpus.samples()))
            self._unseen.append(self._samples[-1])
            self._usage = usage
            self._sample_at = now + SAMPLE_SECONDS

    def _look_out(self, now: float) -> None:
        """Ask what somebody should be warned of. A program that is over needs no warning."""
        if self._reader is not None and self._final_size is None:
            self._warnings += self._reader.warnings(now, self._unseen)
        self._unseen.clear()

    def _post(self, now: float) -> None:
        if now < self._post_at and len(self._waiting) < BATCH and self._final_size is None:
            return
        batch = Observations(
            first=self._posted,
            metrics=tuple(self._waiting[:BATCH]),
            progress=self._progress,
            samples=tuple(self._samples),
            warnings=tuple(self._warnings),
        )
        if not (batch.metrics or batch.progress or batch.samples or batch.warnings):
            return
        self._client.observe(batch)
        self._posted += len(batch.metrics)
        del self._waiting[: len(batch.metrics)]
        del self._samples[: len(batch.samples)]
        del self._warnings[: len(batch.warnings)]
        self._progress = None
        self._post_at = now + POST_SECONDS
