"""What is seen in a log that tells of trouble: exceptions in their surroundings, and forms of lines."""

from dataclasses import dataclass, field

from services.core.diagnosis.rule import Rule, Words
from services.core.log_writers import Raw
from services.core.tracebacks import Chain


@dataclass(frozen=True)
class Context:
    """What was said before: by the same writer, and the last line of each other one."""

    before: tuple[Raw, ...] = ()
    others: tuple[Raw, ...] = ()


@dataclass
class Template:
    """A form of line that tells of trouble, its numbers masked: its first line, where that begins, how many came.

    `rule` is the row of the table that knows it. `last_number` is the number of the last such line.
    """

    example: str
    offset: int
    gravity: int
    count: int = 0
    number: int = 1
    rule: Rule | None = None
    writer: bytes = b""
    context: Context = Context()
    last_number: int = 1


@dataclass
class Crash:
    """An exception in its surroundings: what its writer said after it, and how many lines more."""

    chain: Chain
    writer: bytes
    context: Context
    after: list[Raw] = field(default_factory=list)
    lines_after: int = 0
    count: int = 1


def words_of(text: str) -> Words:
    """A line as the rules read it: an exception's type may stand in front."""
    head, colon, _ = text.strip().partition(":")
    name = head.rpartition(".")[2]
    return Words(text, name if colon and name.isidentifier() else "")
