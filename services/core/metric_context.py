"""What lines say for those below them: the epoch and fold of a heading, and how many steps an epoch has."""

import re
from collections.abc import Iterable

from services.core.metric_places import Metric, Place
from services.core.metric_styles import Reading

_MAX_RANKS = 4_096
_MAX_RECENT = 4_096
# The Trainer of transformers, and the examples that follow it, say so before they begin.
_TOTAL_STEPS = re.compile(r"Total optimization steps = (\d{1,15})$")
_STEPS_PER_EPOCH = re.compile(r"Num update steps per epoch = (\d{1,15})$")
_EPOCHS = re.compile(r"Num Epochs = (\d{1,9})$")
_SUMS_UP = ("best", "final", "average", "mean", "overall")


class Context:
    """The heading that is in force, for each rank that speaks."""

    def __init__(self) -> None:
        self._epochs: dict[int | None, float] = {}
        self._fold: int | None = None
        self._trial: int | None = None
        self._step: int | None = None
        self._steps_per_epoch: float | None = None
        self._epoch_count = 0
        self._digits = 0
        self._recent: dict[tuple[str, Place], float] = {}

    def epoch(self, rank: int | None = None) -> float | None:
        """The epoch that the lines of a rank belong to."""
        own = self._epochs.get(rank)
        return own if own is not None else self._epochs.get(None)

    def is_changed_by(self, place: Place) -> bool:
        """Whether a line at this place may say something new for those below it."""
        return (place.epoch is not None and place.epoch != self._epochs.get(None)) or (
            place.fold != self._fold or place.trial != self._trial
        )

    def told(self, reading: Reading) -> None:
        """Take the place that a line gives for the one of the lines below it."""
        place, values = reading
        if place.epoch is None and place.fold is None and place.trial is None:
            return
        if place.fold is not None and place.fold != self._fold:
            self._fold = place.fold
            self._epochs.clear()
        if place.trial is not None and place.trial != self._trial:
            self._trial = place.trial
            self._epochs.clear()
        if place.epoch is not None and not (values and _sums_up(values[0].name)):
            if place.rank not in self._epochs and len(self._epochs) >= _MAX_RANKS:
                self._epochs.clear()
            self._epochs[place.rank] = place.epoch

    def headed(self, reading: Reading) -> None:
        """Take the place of a line that is nothing but one: its step, too, is the step of the lines below it."""
        self.told(reading)
        self._step = reading.place.step

    def steps_told(self, text: str) -> None:
        """Take what a line says of the number of steps."""
        if found := _STEPS_PER_EPOCH.search(text):
            self._steps_per_epoch = float(found[1])
        elif found := _EPOCHS.search(text):
            self._epoch_count, self._steps_per_epoch = int(found[1]), None
        elif (found := _TOTAL_STEPS.search(text)) and self._epoch_count and self._steps_per_epoch is None:
            self._steps_per_epoch = int(found[1]) / self._epoch_count

    def placed(self, metrics: list[Metric]) -> list[Metric]:
        """Metrics with the coordinates that their own line left out."""
        first = metrics[0]
        if first.step is not None or first.epoch is not None:
            self._step = None
        if _sums_up(first.name):
            return metrics
        step = self._step if first.step is None else first.step
        epoch = self.epoch(first.rank) if first.epoch is None else first.epoch
        fold = self._fold if first.fold is None else first.fold
        if (step, epoch, fold) == (first.step, first.epoch, first.fold):
            return metrics
        return [metric._replace(step=step, epoch=epoch, fold=fold) for metric in metrics]

    def step_at(self, epoch: float) -> int | None:
        """The step that an epoch with its fraction is, where steps are coarser than the fraction was printed."""
        per_epoch = self._steps_per_epoch
        if per_epoch is None:
            return None
        self._digits = max(self._digits, len(repr(epoch).partition(".")[2]))
        if per_epoch >= 10**self._digits:
            return None
        return round(epoch * per_epoch)

    def new(self, metrics: Iterable[Metric]) -> list[Metric]:
        """Those of a table's metrics that no line told before: at their end, programs print their history again."""
        return [metric for metric in metrics if not self._is_known(metric)]

    def remember(self, metrics: Iterable[Metric]) -> None:
        """Know these when a table repeats them."""
        for metric in metrics:
            if metric.epoch is not None:
                if len(self._recent) >= _MAX_RECENT:
                    del self._recent[next(iter(self._recent))]
                self._recent[metric.name, Place(epoch=metric.epoch, rank=metric.rank, fold=metric.fold)] = metric.value

    def _is_known(self, metric: Metric) -> bool:
        if metric.epoch is None:
            return False
        known = self._recent.get((metric.name, Place(epoch=metric.epoch, rank=metric.rank, fold=metric.fold)))
        return known is not None and abs(known - metric.value) <= 1e-3 * abs(known)


def _sums_up(name: str) -> bool:
    return name.lower().startswith(_SUMS_UP) and not name.lower().startswith(
        ("average_loss", "mean_loss", "average_train", "average_val")
    )
