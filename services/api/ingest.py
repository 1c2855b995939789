"""The runner's ingest: what the sidecar of one attempt tells, under that attempt's own token.

Everything here may be sent twice. A sidecar that is told 410 stops; whatever time can mend is answered 5xx, and it
asks again for ever.
"""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import anyio.from_thread
import google_crc32c
import structlog
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from services.api.auth import Runner
from services.api.bodies import chunks, json_body, takes, whole
from services.api.parameters import MAX_NUMBER, FilePath
from services.api.parts import Parts, Uses
from services.api.problems import BadChecksum, BadDigest, BadField
from services.api.views import Responses, answer
from services.core import faults
from services.core.attempts import AttemptOver
from services.core.errors import RunNotFound
from services.core.keys import run_of_attempt, split_rank, step_of_attempt
from services.core.lifecycle import Status
from services.core.logs import WrongOffset
from services.core.observations import FinishReport, Observations
from services.core.paths import clean_path
from services.core.record import Record
from services.core.records import FileRef, RunState
from services.core.spans import runner_spans
from services.core.tokens import PROTOCOL, check_protocol

router = APIRouter(prefix="/internal/v1/attempts/{attempt}", tags=["runner"])

PodUid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
_PIECE_BYTES = 1 << 20

log = structlog.get_logger()


class Claim(Record):
    """Which execution of the attempt asks to be its only one."""

    pod_uid: PodUid
    protocol: Annotated[int, Field(ge=1, le=1_000_000)]


class Claimed(BaseModel):
    """The attempt is this execution's. `protocol`: the newest version of the runner's protocol that this API speaks."""

    claimed: bool
    protocol: int


class Heartbeat(Record):
    """A sign of life of one execution."""

    pod_uid: PodUid


class Orders(BaseModel):
    """What the sidecar is to do: end the program, with so many seconds between SIGTERM and SIGKILL, or go on."""

    cancel: bool
    grace_seconds: int


class Stored(BaseModel):
    sha256: str
    size: int


class Finished(BaseModel):
    """`complete`: every byte of the log is here, as its digest says."""

    complete: bool


_CLAIM = takes(Claim, {"pod_uid": "6f0c5f1e-5a3c-4c57-9f0e-2f3f1c9d8a77", "protocol": 1})
_HEARTBEAT = takes(Heartbeat, {"pod_uid": "6f0c5f1e-5a3c-4c57-9f0e-2f3f1c9d8a77"})
_OBSERVATIONS = takes(
    Observations,
    {
        "first": 0,
        "metrics": [{"name": "loss", "value": 0.71, "step": 1, "time": 1790000000.0}],
        "progress": {"fraction": 0.01, "text": "epoch 1 of 100"},
        "samples": [{"time": 1790000000.0, "rss_bytes": 812000000, "cpu_percent": 98.5, "gpu": []}],
        "warnings": [],
    },
)
_FINISH = takes(
    FinishReport,
    {
        "exit_code": 0,
        "signal": None,
        "reason": "exited",
        "started": 1790000000.0,
        "finished": 1790000042.5,
        "bytes": 0,
        "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "gaps": [],
        "peaks": {"rss_bytes": 812000000},
        "outputs": [],
    },
)
RAW_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_SENT: Responses = {
    204: {"headers": {"X-Log-Offset": {"description": "The log's size now.", "schema": {"type": "integer"}}}}
}
Crc32c = Annotated[str, Header(pattern=r"^[0-9a-f]{8}$", description="CRC32C of the body.", examples=["00000000"])]
LogAge = Annotated[str | None, Header(max_length=40, description="Seconds since the first byte was written, if known.")]
Sha256Header = Annotated[str, Header(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the body.")]


@router.post("/claim", response_model=Claimed, openapi_extra=_CLAIM)
def claim(attempt: Runner, parts: Uses, wanted: Annotated[Claim, Depends(json_body(Claim, strict=False))]) -> Response:
    """Make this execution the attempt's only one. 409: another one is, do not run the program."""
    check_protocol(wanted.protocol)
    parts.attempts.claim(attempt, wanted.pod_uid)
    faults.reach("api.attempt_claimed")
    return answer(Claimed(claimed=True, protocol=PROTOCOL))


@router.put("/log", status_code=204, response_class=Response, openapi_extra=RAW_BODY, responses=_SENT)
async def put_log(
    request: Request,
    attempt: Runner,
    parts: Uses,
    offset: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="The body's place in the log: its present end.")],
    x_crc32c: Crc32c,
    x_log_age: LogAge = None,
) -> Response:
    """Append raw bytes. 409: go on from `expected_offset`. 400: they arrived damaged, send again. 413: send less."""
    arrived = time.monotonic()
    data = await whole(request, parts.bounds.log_bytes)
    size = await run_sync(_append, parts, attempt, offset, data, x_crc32c)
    if (age := age_of(x_log_age)) is not None:
        parts.metrics.log_lag.observe(age + time.monotonic() - arrived)
    return Response(status_code=204, headers={"X-Log-Offset": str(size)})


@router.post("/observations", status_code=204, response_class=Response, openapi_extra=_OBSERVATIONS)
def observe(
    attempt: Runner, parts: Uses, seen: Annotated[Observations, Depends(json_body(Observations, strict=False))]
) -> Response:
    """Take metrics, progress, samples and warnings; what came before is left out."""
    parts.attempts.observe(attempt, seen)
    parts.metrics.observed(seen)
    return Response(status_code=204)


@router.post("/heartbeat", response_model=Orders, openapi_extra=_HEARTBEAT)
def heartbeat(
    attempt: Runner, parts: Uses, beat: Annotated[Heartbeat, Depends(json_body(Heartbeat, strict=False))]
) -> Response:
    """Say that this execution lives, and hear whether its program is to end."""
    parts.attempts.heartbeat(attempt, beat.pod_uid)
    try:
        state = parts.store.state(run_of_attempt(attempt))
    except RunNotFound as error:
        raise AttemptOver(f"the run of {attempt} is gone") from error
    return answer(Orders(cancel=is_cancelled(state, attempt), grace_seconds=parts.cancel_grace_seconds))


@router.put("/outputs/{path:path}", status_code=201, response_model=Stored, openapi_extra=RAW_BODY)
async def put_output(
    request: Request, attempt: Runner, parts: Uses, path: FilePath, x_sha256: Sha256Header
) -> Response:
    """Store one output file. The same path again replaces it."""
    name = clean_path(path)
    if not await run_sync(parts.attempts.is_live, attempt):
        raise AttemptOver(f"attempt {attempt} is over, or never was")
    body = chunks(request, parts.bounds.output_bytes)
    blob = await run_sync(parts.artifacts.put_stream, pulled(body))
    if blob.sha256 != x_sha256:
        raise BadChecksum("the body does not have the digest in X-Sha256")
    await run_sync(parts.attempts.add_output, attempt, FileRef(path=name, sha256=blob.sha256, size=blob.size))
    faults.reach("api.output_recorded")
    return answer(Stored(sha256=blob.sha256, size=blob.size), 201)


@router.post("/finish", response_model=Finished, openapi_extra=_FINISH)
def finish(
    attempt: Runner, parts: Uses, report: Annotated[FinishReport, Depends(json_body(FinishReport, strict=False))]
) -> Response:
    """Report the end. 409: the log is not whole here, go on from `expected_offset` and report again.

    The first report that is taken stands; repeating it is answered the same.
    """
    record = parts.attempts.record(attempt)
    if record.finish is not None:
        return answer(Finished(complete=record.log_complete))
    if not parts.attempts.is_live(attempt):
        raise AttemptOver(f"attempt {attempt} is over, or never was")
    _check_outputs(report, parts.attempts.outputs(attempt))
    parts.attempts.finish(attempt, report, log_complete=_is_complete(parts, attempt, report))
    faults.reach("api.finish_recorded")
    for span in runner_spans(attempt, run_of_attempt(attempt), record.claimed_at, report, time.time()):
        parts.trace(span)
    return answer(Finished(complete=parts.attempts.record(attempt).log_complete))


def is_cancelled(state: RunState, attempt: str) -> bool:
    """Whether the program of a live attempt is to end: its run ends, its step is, or a newer attempt took its place."""
    step = state.steps.get(step_of_attempt(attempt))
    if step is None or step.last.id != split_rank(attempt)[0] or step.cancelling:
        return True
    return state.status.is_final or state.status is Status.CANCELLING


def age_of(text: str | None) -> float | None:
    """The seconds in X-Log-Age; None where it says nothing. No log is refused for the sake of a metric."""
    try:
        age = float(text or "nan")
    except ValueError:
        return None
    return age if 0 <= age < float("inf") else None


def _append(parts: Parts, attempt: str, offset: int, data: bytes, crc32c: str) -> int:
    if f"{google_crc32c.value(data):08x}" != crc32c:
        raise BadChecksum("the body does not have the checksum in X-Crc32c")
    try:
        size = parts.logs.append(attempt, offset, data)
    except WrongOffset as error:
        if error.expected < offset:
            parts.metrics.log_rewinds.inc()
        raise
    parts.metrics.log_bytes.inc(len(data))
    faults.reach("api.log_appended")
    return size


def pulled(body: AsyncIterator[bytes]) -> Iterator[bytes]:
    """The body in pieces worth the way to this thread, and no faster than they are taken."""
    while piece := anyio.from_thread.run(_piece, body):
        yield piece


async def _piece(body: AsyncIterator[bytes]) -> bytes:
    gathered, size = [], 0
    async for chunk in body:
        gathered.append(chunk)
        size += len(chunk)
        if size >= _PIECE_BYTES:
            break
    return b"".join(gathered)


def _check_outputs(report: FinishReport, uploaded: list[FileRef]) -> None:
    """Only what this attempt uploaded is its output: a digest alone would open any object of the shared store."""
    known = {(file.path, file.sha256) for file in uploaded}
    for index, file in enumerate(report.outputs):
        if (clean_path(file.path), file.sha256) not in known:
            raise BadField(f"{file.path!r} has not been uploaded with this digest", f"outputs.{index}")


def _is_complete(parts: Parts, attempt: str, report: FinishReport) -> bool:
    """Whether the log is what the runner sent. Raises `BadDigest` while sending again can make it so."""
    if parts.logs.verify(attempt, report.sha256, report.bytes):
        return True
    size = parts.logs.size(attempt)
    if size < report.bytes:
        raise BadDigest(f"{size} of the log's {report.bytes} bytes are here", size)
    if parts.logs.reset(attempt):
        raise BadDigest("the log's bytes are not the ones that were sent", 0)
    log.warning("log_not_verified", attempt=attempt, size=size, reported=report.bytes)
    return False
