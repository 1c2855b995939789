"""What an attempt finds in its directories before its program starts: the list that the API gives the runner."""

from enum import StrEnum

from services.core.records import Record


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
