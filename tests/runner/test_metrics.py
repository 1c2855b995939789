"""The program's words as the API takes them."""

import math
from itertools import pairwise

import pytest

from services.core.observations import Metric
from services.runner.metrics import MetricReader

LOG = b"epoch 1/2 loss: 0.5\nrank 1 step 7 loss=0.25\n{'loss': nan, 'epoch': 0.5}\nval loss: 0.75\nstep 8 loss: 0.125"


def read(*pieces: bytes) -> list[Metric]:
    reader = MetricReader()
    found = [metric for piece in pieces for metric in reader.feed(piece)]
    return [metric.model_copy(update={"time": 0.0}) for metric in [*found, *reader.finish()]]


def test_metrics_come_with_their_coordinates_and_the_last_line_needs_no_end() -> None:
    found = read(LOG)
    assert [metric.value for metric in found if not math.isnan(metric.value)] == [0.5, 0.25, 0.75, 0.125]
    assert (found[1].step, found[1].rank) == (7, 1)
    assert found[-1].step == 8


def test_training_and_validation_are_two_series() -> None:
    first, second = read(b"train loss: 1\nval loss: 2\n")
    assert first.name != second.name


@pytest.mark.parametrize("cut", [1, 2, 7, 50])
def test_metrics_do_not_depend_on_how_the_log_was_cut(cut: int) -> None:
    ends = [*range(0, len(LOG), cut), len(LOG)]
    pieces = [LOG[start:end] for start, end in pairwise(ends)]
    assert repr(read(*pieces)) == repr(read(LOG))


def test_progress_is_the_last_that_was_said_and_is_told_once() -> None:
    reader = MetricReader()
    reader.feed(b"epoch 1/10\nepoch 2/10\nsaving\n")
    told = reader.progress(1.0)
    assert told
    assert told.fraction == 0.2
    assert reader.progress(2.0) is None
