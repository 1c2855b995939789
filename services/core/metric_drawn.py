"""A bar as it stands on the screen, and what is read beside it once it is over. Pure."""

import re
from typing import NamedTuple

from services.core.metric_bars import Bar
from services.core.metric_columns import Columns
from services.core.metric_places import Metric
from services.core.metric_styles import Reading, read, read_shown

# torchtune heads its bars with epoch, step and loss.
_TORCHTUNE = re.compile(r"^(\d{1,9})\|(\d{1,15})\|")


class Drawn(NamedTuple):
    """A bar that can be seen, with the epoch and the table it stands in."""

    bar: Bar
    epoch: float | None
    columns: Columns | None
    is_evaluation: bool

    def metrics(self) -> list[Metric]:
        """What stands beside the bar, at the epoch of its head or of the heading above it."""
        bar = self.bar
        row = self.columns.row(bar.head) if self.columns and bar.head else None
        if row is not None:
            return row.metrics()
        head, rest = read(_TORCHTUNE.sub(r"epoch \1 step \2 | ", bar.head)), read_shown(bar.rest)
        metrics = Reading(head.place.over(rest.place), head.values + rest.values).metrics()
        if self.is_evaluation:
            return [metric._replace(split="eval") for metric in metrics]
        if bar.of_epochs:
            return [metric._replace(epoch=bar.done) for metric in metrics]
        if not metrics or metrics[0].epoch is not None or metrics[0].step is not None:
            return metrics
        if self.epoch is None:
            return [metric._replace(step=int(bar.done)) for metric in metrics]
        return [metric._replace(epoch=self.epoch) for metric in metrics]


def is_evaluation(bar: Bar, before: Drawn | None, epoch: float | None) -> bool:
    """Whether a bar of Keras, which does not say so, is one of an evaluation: no heading stands above it."""
    if bar.family != "keras" or before is None or epoch is None or before.epoch != epoch:
        return False
    return before.bar.total is None or before.bar.done >= before.bar.total
