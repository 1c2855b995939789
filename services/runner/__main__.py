"""The sidecar's process: settings, the token, logs, exit codes.

The attempt's token comes on the first line of stdin or from a file, never by argument or environment, where others
could read it. Exit codes: 0 the attempt is settled; 75 another sidecar has it, or told to stop before the end; 77 the
API refuses us; 78 the settings or the token are missing. After every one but 0 a new sidecar may be started.
"""

import ctypes
import signal
import sys
import threading

import httpx
import structlog

from services.core.errors import BadRequest, CohortError
from services.core.logging import configure
from services.core.settings import RunnerSettings, load
from services.runner.metrics import MetricReader
from services.runner.ship import AttemptClient, Halt, Refused, Stopped
from services.runner.sidecar import Assignment, Sidecar
from services.runner.spool import Spool, take

SETTLED, BUSY, REFUSED, MISCONFIGURED, FAILED = 0, 75, 77, 78, 70

# What is left of a pod's grace period is the kubelet's to end; this only bounds a sidecar told to stop elsewhere.
_STOP_SECONDS = 90.0
_TIMEOUT = httpx.Timeout(connect=5, read=60, write=60, pool=60)
_PR_SET_DUMPABLE = 4

log = structlog.get_logger()


def main() -> int:
    """Tend one attempt; returns the exit code."""
    _hide_memory()
    try:
        settings = load(RunnerSettings)
        token = _read_token(settings)
    except (BadRequest, OSError) as error:
        print(f"runner: {error}", file=sys.stderr)
        return MISCONFIGURED
    configure("runner", settings.log_level, "json")
    structlog.contextvars.bind_contextvars(attempt=settings.attempt)
    spool = Spool(settings.spool_dir)
    if not take(spool.sidecar_lock):
        log.info("sidecar_is_tended")
        return BUSY
    halt = Halt()
    signal.signal(signal.SIGTERM, lambda *_: _stop_later(halt))
    headers = {"Authorization": f"Bearer {token}"}
    # Never closed: a thread may be in a call when the process ends.
    http = httpx.Client(base_url=settings.api_url, headers=headers, timeout=_TIMEOUT)
    return _tend(settings, spool, AttemptClient(http, settings.attempt, halt), halt)


def _tend(settings: RunnerSettings, spool: Spool, client: AttemptClient, halt: Halt) -> int:
    assignment = Assignment(
        attempt=settings.attempt,
        pod_uid=settings.pod_uid,
        spool=spool,
        output_directory=settings.output_dir,
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    try:
        outcome = Sidecar(assignment, client, halt, MetricReader()).run()
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


def _hide_memory() -> None:
    """Keep our memory and environment from other processes of the same user: the user's program may be one."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _read_token(settings: RunnerSettings) -> str:
    text = settings.token_file.read_text() if settings.token_file else sys.stdin.readline()
    token = text.strip()
    if not token:
        raise BadRequest("no token: give it on the first line of stdin, or name its file in COHORT_TOKEN_FILE")
    return token


def _stop_later(halt: Halt) -> None:
    timer = threading.Timer(_STOP_SECONDS, halt.stop)
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main())
