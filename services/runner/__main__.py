"""The processes beside a program: settings, the token, logs, exit codes.

    python -m services.runner        the sidecar, for as long as the program runs
    python -m services.runner lay    fills the attempt's directories before it starts, then ends

The attempt's token comes on the first line of stdin or from a file, never by argument or environment, where others
could read it. Exit codes: 0 the attempt is settled; 75 another sidecar has it, or told to stop before the end; 77 the
API refuses us, or a file cannot be laid; 78 the settings or the token are missing. After every one but 0 it may be
started again.
"""

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx
import structlog

from services.core.errors import BadRequest, CohortError
from services.core.logging import configure
from services.core.manifest import Root
from services.core.settings import AttemptSettings, LaySettings, RunnerSettings, load
from services.runner.lay import carry, lay
from services.runner.metrics import MetricReader
from services.runner.sandbox import SandboxPlace
from services.runner.ship import AttemptClient, Halt, Refused, Stopped
from services.runner.sidecar import Assignment, Sidecar
from services.runner.spool import Spool, take

SETTLED, BUSY, REFUSED, MISCONFIGURED, FAILED = 0, 75, 77, 78, 70

# In a pod the kubelet bounds what a sidecar told to stop still does, by the grace period; elsewhere this does.
_STOP_SECONDS = 90.0
_TIMEOUT = httpx.Timeout(connect=5, read=60, write=60, pool=60)
_PR_SET_DUMPABLE = 4

log = structlog.get_logger()

S = TypeVar("S", bound=AttemptSettings)


def main(arguments: Sequence[str] = ()) -> int:
    """Do what the arguments name for one attempt; returns the exit code."""
    _hide_memory()
    match list(arguments):
        case []:
            return _started(RunnerSettings, _run_sidecar)
        case ["lay"]:
            return _started(LaySettings, _run_lay)
    print("runner: the only argument there is, is `lay`", file=sys.stderr)
    return MISCONFIGURED


def _started(kind: type[S], work: Callable[[S, AttemptClient, Halt], int]) -> int:
    """Do `work` with the settings, a client that has the token, and what says when to stop."""
    try:
        settings = load(kind)
        token = _read_token(settings)
    except (BadRequest, OSError) as error:
        print(f"runner: {error}", file=sys.stderr)
        return MISCONFIGURED
    configure("runner", settings.log_level, "json", attempt=settings.attempt)
    halt = Halt()
    headers = {"Authorization": f"Bearer {token}"}
    # Never closed: a thread may be in a call when the process ends.
    http = httpx.Client(base_url=settings.api_url, headers=headers, timeout=_TIMEOUT)
    return work(settings, AttemptClient(http, settings.attempt, halt), halt)


def _run_lay(settings: LaySettings, client: AttemptClient, halt: Halt) -> int:
    signal.signal(signal.SIGTERM, lambda *_: halt.stop())
    began = time.monotonic()
    try:
        if settings.carried_dir is not None and settings.rt_dir is not None:
            carry(settings.carried_dir, settings.rt_dir)
        laid = lay(
            {
                Root.WORK: settings.work_dir,
                Root.IN: settings.input_dir,
                Root.CHECKPOINT: settings.checkpoint_dir,
            },
            client,
        )
    except Stopped:
        log.warning("stopped_before_the_end")
        return BUSY
    except (CohortError, OSError) as error:
        log.error("not_laid", why=str(error))
        return REFUSED
    log.info("laid", files=laid.files, bytes=laid.bytes, seconds=round(time.monotonic() - began, 3))
    return SETTLED


def _run_sidecar(settings: RunnerSettings, client: AttemptClient, halt: Halt) -> int:
    spool = Spool(settings.spool_dir)
    if not take(spool.sidecar_lock):
        log.info("sidecar_is_tended")
        return BUSY
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: _end(spool, halt, told, None if settings.stay else _STOP_SECONDS))
    code = _tend(settings, spool, client, halt)
    if code == SETTLED and settings.stay:
        told.wait()
    return code


def _tend(settings: RunnerSettings, spool: Spool, client: AttemptClient, halt: Halt) -> int:
    assignment = Assignment(
        attempt=settings.attempt,
        pod_uid=settings.pod_uid,
        spool=spool,
        output_directory=settings.output_dir,
        checkpoint_directory=settings.checkpoint_dir,
        checkpoint_quiet_seconds=settings.checkpoint_quiet_seconds,
        sandbox=_sandbox_place(settings),
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    try:
        outcome = Sidecar(assignment, client, halt, MetricReader(settings.memory_limit_bytes)).run()
    except Stopped:
        log.warning("stopped_before_the_end")
        return BUSY
    except Refused as error:
        log.error("refused", why=str(error))
        return REFUSED
    except CohortError as error:
        log.error("failed", why=str(error))
        return FAILED
    log.info("settled", outcome=outcome.value)
    return SETTLED


def _sandbox_place(settings: RunnerSettings) -> SandboxPlace | None:
    if settings.work_dir is None or settings.private_dir is None:
        return None
    return SandboxPlace(settings.work_dir, settings.private_dir)


def _end(spool: Spool, halt: Halt, told: threading.Event, seconds: float | None) -> None:
    """SIGTERM: bring to the end what a program has left, in `seconds` if bounded. Where none came, none will."""
    told.set()
    if not spool.has_begun():
        halt.stop()
    elif seconds is not None:
        timer = threading.Timer(seconds, halt.stop)
        timer.daemon = True
        timer.start()


def _hide_memory() -> None:
    """Keep our memory and environment from other processes of the same user: the user's program may be one."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _read_token(settings: AttemptSettings) -> str:
    text = settings.token_file.read_text() if settings.token_file else sys.stdin.readline()
    token = text.strip()
    if not token:
        raise BadRequest("no token: give it on the first line of stdin, or name its file in COHORT_TOKEN_FILE")
    return token


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
