"""What a diagnosis says: the class, who can mend it, how sure that is, the lines it rests on, and what may help."""

from dataclasses import dataclass

from services.core.taxonomy import Failure, Owner


@dataclass(frozen=True)
class DecisiveLine:
    """A line of the log that the diagnosis rests on: where it begins, its number from 1, its text."""

    offset: int
    number: int
    text: str


@dataclass(frozen=True)
class Finding:
    """What is wrong with a program that is over. `confidence` is from 0 to 1.

    `lines` are those it rests on, `context` what was said before them. `rank` is the rank that failed first, where the
    log tells; `chain_offset` where the exception begins in the log, if it is one.
    """

    failure: Failure
    confidence: float
    cause: str
    lines: tuple[DecisiveLine, ...] = ()
    context: tuple[DecisiveLine, ...] = ()
    rank: str = ""
    chain_offset: int | None = None

    @property
    def owner(self) -> Owner:
        return self.failure.owner
