"""The table of rules, in parts by what they speak of. A new row goes where its class is; a test holds a sample for each."""

from services.core.diagnosis.rule import Rule
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
