"""A goal as it comes in: its fields and limits, and the files it brings."""

import base64
import binascii
import hashlib
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, BinaryIO, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, StringConstraints, WithJsonSchema

from services.api.bodies import Input
from services.api.problems import BadField
from services.api.text import Said
from services.core.errors import BadRequest
from services.core.needs import AskedNeeds
from services.core.placement import Refusal, place
from services.core.pools import Pools
from services.core.records import Limits
from services.core.rules import AskedTerms, matches
from services.core.workspace import EMPTY, Workspace

MAX_LABELS = 32
MAX_FILES = 10_000
_PIECE_BYTES = 1 << 20
# The end of the year 2099: later than any goal, and a number every clock can hold.
_LATEST = 4_102_444_799.0

EXAMPLE = {
    "goal": "Train a classifier on the files in data/ and hand over the model with its accuracy on data/test.csv.",
    "limits": {"turns": 100, "dollars": 20},
    "labels": {"team": "vision", "pipeline": "4711"},
    "files": {"data/README.md": "One image per line, the label first.\n"},
}


def _moment(value: object) -> object:
    """Seconds since the epoch out of RFC 3339 text (UTC where no zone is said) or a number, also in quotes."""
    if not isinstance(value, str):
        return value
    if value.strip().replace(".", "", 1).isdecimal() and len(value) < 30:
        return float(value)
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError as error:
        raise ValueError("must be a time like 2030-01-31T18:00:00Z, or seconds since the epoch") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


Deadline = Annotated[
    FiniteFloat,
    BeforeValidator(_moment),
    Field(gt=0, le=_LATEST),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 0, "maximum": _LATEST}]},
        mode="validation",
    ),
]
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._/-]{1,63}$")]
LabelValue = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}$")]
PathName = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Submission(Input):
    """What is asked, within which limits, and with which files."""

    goal: Said
    model: ModelName | None = Field(None, description="Which model works on it; the install's own unless told.")
    fallback_model: ModelName | None = Field(None, description="Takes over where the model is not there, once.")
    effort: Literal["low", "medium", "high"] | None = Field(None, description="How much the model is to think.")
    limits: Limits = Limits()
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict, max_length=MAX_LABELS)
    deadline: Deadline | None = Field(None, description="RFC 3339 or seconds since the epoch; in the future.")
    resources: AskedNeeds | None = Field(None, description="What a step gets that does not say what it needs.")
    rules: AskedTerms | None = Field(None, description="Rules to switch off, the cost line, evaluation data.")
    files: dict[PathName, str] | None = Field(None, max_length=MAX_FILES, description="Path to text.")
    files_base64: dict[PathName, str] | None = Field(None, max_length=MAX_FILES, description="Path to bytes.")
    archive_base64: str | None = Field(None, description="A tar or tar.gz; instead of the others.")


@dataclass(frozen=True)
class Asked:
    """A submission with the archive that came beside it, and the digest that knows it again."""

    submission: Submission
    digest: str
    archive: BinaryIO | None = None


def digest_of(submission: Submission, archive: BinaryIO | None) -> str:
    """The SHA-256 of what is asked: equal for the same fields, in whatever order and spelling they came."""
    canonical = json.dumps(submission.model_dump(mode="json", exclude_none=True), sort_keys=True, ensure_ascii=True)
    digest = hashlib.sha256(canonical.encode() + b"\0")
    if archive is not None:
        for piece in iter(lambda: archive.read(_PIECE_BYTES), b""):
            digest.update(piece)
        archive.seek(0)
    return digest.hexdigest()


def check_deadline(submission: Submission, now: float) -> None:
    """Raises `BadField` for a deadline that has passed."""
    if submission.deadline is not None and submission.deadline <= now:
        raise BadField("the deadline has passed; give a time in the future", "deadline")


def check_resources(submission: Submission, tenant: str, pools: Pools) -> None:
    """Raises `BadField` where no step that says nothing itself could ever run."""
    if submission.resources is None:
        return
    choice = place(pools, tenant, submission.resources.resources)
    if isinstance(choice, Refusal):
        raise BadField(choice.text, f"resources.{choice.field}")


def check_evaluation_data(submission: Submission, snapshot: str, workspace: Workspace) -> None:
    """Raises `BadField` for evaluation data that is among no inputs: it would be kept from nobody."""
    patterns = submission.rules.evaluation_data if submission.rules else []
    paths = [entry.path for entry in workspace.list(snapshot)] if patterns else []
    for pattern in patterns:
        if not any(matches(path, pattern) for path in paths):
            raise BadField(f"no input file is called {pattern!r}", "rules.evaluation_data")


def input_snapshot(asked: Asked, workspace: Workspace) -> str:
    """Store the files a goal brings; the snapshot of them. Raises `BadField`."""
    submission = asked.submission
    inline = submission.files is not None or submission.files_base64 is not None
    if inline + (submission.archive_base64 is not None) + (asked.archive is not None) > 1:
        raise BadField("give files inline or as one archive, not both", "files")
    field = "files" if inline else "archive"
    try:
        if asked.archive is not None:
            return workspace.import_tar(asked.archive)
        if submission.archive_base64 is not None:
            field = "archive_base64"
            return workspace.import_tar(io.BytesIO(_decoded(submission.archive_base64, field)))
        files = {path: text.encode() for path, text in (submission.files or {}).items()}
        for path, text in (submission.files_base64 or {}).items():
            if path in files:
                raise BadField(f"{path!r} is given twice", "files_base64")
            files[path] = _decoded(text, f"files_base64.{path}")
        return workspace.import_files(files) if files else EMPTY
    except BadField:
        raise
    except BadRequest as error:
        raise BadField(str(error), field) from error


def _decoded(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadField(f"this is no base64: {error}", field) from error
