"""The table of rules, in parts by what they speak of. A new row goes where its class is; a test holds a sample for each."""

from functools import cache

from services.core.diagnosis.rule import Rule, Rulebook
from services.core.diagnosis.rules import (
    checkpoints,
    cluster,
    data,
    harmless,
    program,
    ranks,
    remote,
    resources,
    tensors,
)

RULES: tuple[Rule, ...] = (
    *harmless.ROWS,
    *resources.ROWS,
    *cluster.ROWS,
    *ranks.ROWS,
    *tensors.ROWS,
    *data.ROWS,
    *checkpoints.ROWS,
    *remote.ROWS,
    *program.ROWS,
)


@cache
def lines_book() -> Rulebook:
    """The rows for lines of a log."""
    return Rulebook(RULES)


@cache
def exceptions_book() -> Rulebook:
    """The rows for exceptions: all but those for what is no trouble."""
    return Rulebook(row for row in RULES if row.failure is not None)
