"""Warnings while a program runs: each told once, with what is usual, and none of a healthy one."""

import math
import random

import pytest

from services.core.early_warnings import Kind, Watch
from services.core.metric_places import Metric
from services.core.observations import GpuSample, Sample

PICK = random.Random(3)


def noisy(level: float, share: float = 0.1) -> float:
    return level * (1 + share * (2 * PICK.random() - 1))


def learning(steps: int) -> list[float]:
    return [noisy(0.2 + 2.3 / (1 + step / 20)) for step in range(steps)]


def kinds(values: list[float], name: str = "loss", watch: Watch | None = None) -> list[Kind]:
    watch = watch or Watch()
    told = [watch.metrics([Metric(name, value, step)]) for step, value in enumerate(values)]
    return [warning.kind for some in told for warning in some]


@pytest.mark.parametrize("name", ["loss", "train_loss", "eval_accuracy", "val_loss"])
def test_a_healthy_series_gives_none(name: str) -> None:
    sign = -1 if name.endswith("accuracy") else 1
    assert kinds([3 + sign * value for value in learning(2_000)], name) == []


def test_a_loss_that_is_not_a_number_three_times_is_told_once_with_what_it_was() -> None:
    watch = Watch()
    told = watch.metrics([Metric("loss", value, step) for step, value in enumerate([0.5, *[math.nan] * 9])])
    assert [warning.kind for warning in told] == [Kind.NON_FINITE]
    assert told[0].text == "loss was nan 3 times in a row (at step 3); before that it was 0.5"


def test_two_such_values_are_none() -> None:
    assert kinds([1.0, math.nan, math.nan, 0.9, math.inf, math.inf, 0.8]) == []


def test_a_gradient_norm_that_overflows_is_what_loss_scaling_does() -> None:
    assert kinds([math.inf] * 9, "grad_norm") == []


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_divergence_is_told_by_the_history_whatever_the_magnitude(scale: float) -> None:
    values = learning(100) + [noisy(4 + step) for step in range(10)]
    assert kinds([scale * value for value in values]) == [Kind.DIVERGENCE]


def test_a_spike_is_no_divergence() -> None:
    values = learning(100)
    values[50:54] = [50.0] * 4
    assert kinds(values) == []


def test_a_large_loss_is_no_divergence() -> None:
    assert kinds([1e9 * value for value in learning(300)]) == []


def test_what_gets_worse_on_held_out_data_alone_is_no_divergence() -> None:
    assert kinds(learning(100) + [noisy(5.0 + step) for step in range(20)], "val_loss") == []


def test_another_fold_begins_another_history() -> None:
    watch = Watch()
    for fold in range(5):
        assert watch.metrics([Metric("loss", v, epoch=at, fold=fold) for at, v in enumerate(learning(40))]) == []


def test_epochs_that_begin_again_are_another_history() -> None:
    assert kinds(learning(60)) == [] == kinds(learning(60), watch=Watch())
    watch = Watch()
    for _ in range(4):
        assert watch.metrics([Metric("loss", value, epoch=at) for at, value in enumerate(learning(40))]) == []


def test_a_loss_that_does_not_move_in_thirty_epochs_is_a_plateau() -> None:
    watch = Watch()
    told = watch.metrics([Metric("loss", noisy(2.303, 0.001), epoch=at) for at in range(60)])
    assert [warning.kind for warning in told] == [Kind.PLATEAU]


def test_no_progress_is_measured_by_the_programs_own_pace() -> None:
    quick, slow = Watch(), Watch()
    for step in range(20):
        quick.moved(step * 1.0)
        slow.moved(step * 600.0)
    assert quick.tick(19 + 299) == []
    (told,) = quick.tick(19 + 301)
    assert told.kind is Kind.NO_PROGRESS and "usually there is one every 1.0 s" in told.text
    assert quick.tick(19 + 999) == []
    assert slow.tick(19 * 600 + 5_000) == []


def gpu(time: float, percent: float, gibibytes: float = 10) -> Sample:
    used = int(gibibytes * (1 << 30))
    return Sample(
        time=time, gpu=(GpuSample(index=0, used_percent=percent, memory_bytes=used, memory_total_bytes=80 << 30),)
    )


def test_a_gpu_that_was_busy_and_is_not_any_more_is_told_once() -> None:
    watch = Watch()
    samples = [gpu(at * 5.0, 95) for at in range(100)] + [gpu(500 + at * 5.0, 0) for at in range(300)]
    told = [warning for sample in samples for warning in watch.sample(sample)]
    assert [warning.kind for warning in told] == [Kind.GPU_IDLE]
    assert "before that up to 95 %" in told[0].text


def test_a_gpu_that_was_never_wanted_is_not_idle() -> None:
    watch = Watch()
    assert [w for at in range(1_000) for w in watch.sample(gpu(at * 5.0, 0))] == []


def test_memory_that_is_nearly_full_and_stays_there_is_an_allocators_own() -> None:
    watch = Watch()
    assert [w for at in range(200) for w in watch.sample(gpu(at * 5.0, 90, 79))] == []


def test_memory_that_grows_to_its_limit_is_told() -> None:
    watch = Watch(memory_limit_bytes=100 << 20)
    samples = [Sample(time=at, rss_bytes=(60 + at // 2) << 20) for at in range(78)]
    told = [warning for sample in samples for warning in watch.sample(sample)]
    assert [warning.kind for warning in told] == [Kind.MEMORY]
    assert "of 100 MiB" in told[0].text


def test_a_bar_that_shows_no_number_is_told_before_it_is_over() -> None:
    watch = Watch()
    told = [watch.shown([Metric("loss", math.nan, step)]) for step in (1, 1, 1, 2, 3, 4)]
    assert [len(some) for some in told] == [0, 0, 0, 0, 1, 0]
