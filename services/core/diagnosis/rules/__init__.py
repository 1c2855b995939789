"""The table of rules, in parts by what they speak of. A new row goes where its class is, and a test wants a sample."""

from functools import cache

from services.core.diagnosis.rule import Rule, Rulebook
from services.core.diagnosis.rules import (
    checkpoints,
    cluster,
    data,
    gradients,
    harmless,
    libraries,
    program,
    ranks,
    remote,
    resources,
    settings,
    tensors,
)

RULES: tuple[Rule, ...] = (
    *harmless.ROWS,
    *resources.ROWS,
    *cluster.ROWS,
    *ranks.ROWS,
    *tensors.ROWS,
    *gradients.ROWS,
    *data.ROWS,
    *checkpoints.ROWS,
    *remote.ROWS,
    *settings.ROWS,
    *libraries.ROWS,
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
