"""Reading a submission out of a request: JSON, or a form with the JSON in the part `goal` and a tar.gz in `archive`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import run_sync
from fastapi import Request
from python_multipart.exceptions import ParseError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from services.api.bodies import check_json, chunks, media_type, parse, whole
from services.api.problems import BadBody, BadField
from services.api.submission import Asked, Submission, digest_of

FORM = "multipart/form-data"
_GOAL_BYTES = 2**20
_SMALL_BYTES = 32 * 1024


@asynccontextmanager
async def asked(request: Request, limit: int) -> AsyncIterator[Asked]:
    """The submission in the body of `request`, of `limit` bytes at most. Raises what `bodies` raises, `BadField`."""
    if media_type(request) == FORM:
        async with _form(request, limit) as form:
            yield await run_sync(_from_form, form)
        return
    check_json(request)
    data = await whole(request, limit)
    # The way to a thread and back takes longer than a small body does.
    yield _from_json(data) if len(data) <= _SMALL_BYTES else await run_sync(_from_json, data)


@asynccontextmanager
async def _form(request: Request, limit: int) -> AsyncIterator[FormData]:
    parser = MultiPartParser(
        request.headers, chunks(request, limit), max_files=1, max_fields=1, max_part_size=_GOAL_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, ParseError, KeyError) as error:
        raise BadBody(f"the form cannot be read: {error}") from error
    try:
        yield form
    finally:
        await form.close()


def _from_json(data: bytes) -> Asked:
    submission = parse(Submission, data)
    return Asked(submission, digest_of(submission, None))


def _from_form(form: FormData) -> Asked:
    strangers = sorted(set(form) - {"goal", "archive"})
    if strangers:
        raise BadField("a form has the parts `goal` (JSON) and `archive` (tar.gz)", strangers[0])
    goal, archive = form.get("goal"), form.get("archive")
    text = goal.file.read() if isinstance(goal, UploadFile) else goal
    if text is None:
        raise BadField("the part is missing: the JSON that POST /v1/runs takes by itself", "goal")
    if archive is not None and not isinstance(archive, UploadFile):
        raise BadField("the part is no file: give it a file name", "archive")
    submission, file = parse(Submission, text), archive.file if archive is not None else None
    return Asked(submission, digest_of(submission, file), file)
