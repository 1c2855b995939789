"""Lists of files between the API and the runner: what an attempt starts with, and the checkpoints it leaves."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from services.core.paths import Limits
from services.core.record import Record

# Of one version of a checkpoint directory.
CHECKPOINT_LIMITS = Limits(files=10_000, total_bytes=4 << 40)
# What a server holds in memory for one request.
PARCEL_FILES, PARCEL_BYTES = 250, 1 << 20

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, le=2**53)]


class Root(StrEnum):
    """Which of the attempt's directories a file belongs into."""

    WORK = "work"
    IN = "in"
    CHECKPOINT = "checkpoint"


class LaidFile(Record):
    """One file: its path below the root, its content's sha256 in hex, its bytes, its permission bits."""

    root: Root
    path: str
    sha256: str
    size: int
    mode: int


class Manifest(Record):
    """Every file of one attempt, each place once."""

    files: tuple[LaidFile, ...]


class Parcel(Record):
    """Several small files that are asked for at once: the answer is their bytes one after the other, in this order, all
    of them or none. At most `PARCEL_BYTES` together."""

    digests: tuple[Sha256, ...] = Field(min_length=1, max_length=PARCEL_FILES)


class KeptFile(Record):
    """One file of a checkpoint. `receipt` is the API's word that this attempt brought the object; '' where the newest
    version, or the one the attempt began with, has it already."""

    path: str = Field(min_length=1, max_length=4096)
    sha256: Sha256
    size: Size
    mode: int = Field(0o644, ge=0, le=0o777)
    receipt: str = Field("", max_length=200, pattern="^[ -~]*$")


class Version(Record):
    """A checkpoint directory as it was at one moment. They count from 1; 0 is what the attempt began with."""

    number: int = Field(ge=0, le=2**53)
    files: tuple[KeptFile, ...] = Field(max_length=CHECKPOINT_LIMITS.files)
