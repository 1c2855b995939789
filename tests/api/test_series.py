import math

import httpx
import pytest
from hypothesis import given, strategies

from services.api.series import thinned
from services.core.attempts import Reading
from services.core.observations import GpuSample, Metric, Observations, Sample
from tests.api.conftest import Api
from tests.core.submitted import accept_run, close_attempt, submit_attempt


def readings(*values: float) -> list[Reading]:
    return [Reading("loss", value, step, float(step)) for step, value in enumerate(values)]


def metrics(*values: float, name: str = "loss") -> tuple[Metric, ...]:
    return tuple(Metric(name=name, value=value, step=step, time=float(step)) for step, value in enumerate(values))


@given(strategies.lists(strategies.floats(width=32), max_size=200), strategies.integers(2, 50))
def test_a_thinned_line_keeps_its_order_its_peaks_and_its_bounds(values: list[float], most: int) -> None:
    line = readings(*values)
    kept = thinned(line, most)
    assert len(kept) <= max(most, 0) or len(line) <= most
    assert [metric.step for metric in kept] == sorted(metric.step for metric in kept if metric.step is not None)
    finite = [value for value in values if not math.isnan(value)]
    if finite:
        assert min(finite) == min(metric.value for metric in kept if not math.isnan(metric.value))
    if len(finite) == len(values) and values:
        assert max(values) == max(metric.value for metric in kept)
    assert any(math.isnan(value) for value in values) == any(math.isnan(metric.value) for metric in kept)


@pytest.fixture
def attempt(api: Api) -> str:
    return submit_attempt(api.parts.store)


@pytest.fixture
def base(attempt: str) -> str:
    return f"/v1/runs/{attempt.split('-')[0]}"


def test_a_line_is_what_one_attempt_measured_under_one_name(
    api: Api, http: httpx.Client, attempt: str, base: str
) -> None:
    store, attempts = api.parts.store, api.parts.attempts
    attempts.observe(attempt, Observations(metrics=metrics(3.0, float("nan")) + metrics(0.5, name="val_accuracy")))
    close_attempt(store, attempt, "failed", exit_code=1)
    second = submit_attempt(store, run=attempt.split("-")[0], number=2)
    attempts.observe(second, Observations(metrics=metrics(2.0, name="train/Loss")))
    rows = http.get(f"{base}/series").json()["items"]
    assert [(row["attempt"], row["name"], row["step"], row["value"]) for row in rows] == [
        (attempt, "loss", 0, 3.0),
        (attempt, "loss", 1, "NaN"),
        (attempt, "val_accuracy", 0, 0.5),
        (second, "train/Loss", 0, 2.0),
    ]
    rows = http.get(f"{base}/series", params={"text": "LOSS"}).json()["items"]
    assert [row["name"] for row in rows] == ["loss", "loss", "train/Loss"]


def test_each_line_is_thinned_by_itself(api: Api, http: httpx.Client, attempt: str, base: str) -> None:
    seen = Observations(metrics=metrics(*range(3_000)) + metrics(1.0, name="epoch"))
    api.parts.attempts.observe(attempt, seen)
    rows = http.get(f"{base}/series", params={"points": 10}).json()["items"]
    assert [row["value"] for row in rows if row["name"] == "loss"] == [
        0,
        599,
        600,
        1199,
        1200,
        1799,
        1800,
        2399,
        2400,
        2999,
    ]
    assert [row["value"] for row in rows if row["name"] == "epoch"] == [1.0]
    assert http.get(f"{base}/series", params={"points": 9}).status_code == 400


def test_only_the_newest_attempts_are_shown(api: Api, http: httpx.Client) -> None:
    run = accept_run(api.parts.store)
    names = [submit_attempt(api.parts.store, step=f"try-{number}", run=run) for number in range(22)]
    for name in names:
        api.parts.attempts.observe(name, Observations(metrics=metrics(1.0)))
    rows = http.get(f"/v1/runs/{run}/series").json()["items"]
    assert [row["attempt"] for row in rows] == names[2:]


def test_usage_is_of_all_gpus_of_an_attempt_together(api: Api, http: httpx.Client, attempt: str, base: str) -> None:
    gpus = (
        GpuSample(index=0, used_percent=100.0, memory_bytes=10, memory_total_bytes=40),
        GpuSample(index=1, used_percent=50.0, memory_bytes=30, memory_total_bytes=40),
        GpuSample(index=2),
    )
    samples = (Sample(time=1.0, rss_bytes=7, cpu_percent=150.0), Sample(time=2.0, gpu=gpus))
    api.parts.attempts.observe(attempt, Observations(samples=samples))
    assert http.get(f"{base}/usage").json()["items"] == [
        {
            "time": 1.0,
            "attempt": attempt,
            "cpu_percent": 150.0,
            "memory_bytes": 7,
            "gpus": 0,
            "gpu_percent": None,
            "gpu_memory_percent": None,
        },
        {
            "time": 2.0,
            "attempt": attempt,
            "cpu_percent": None,
            "memory_bytes": None,
            "gpus": 3,
            "gpu_percent": 75.0,
            "gpu_memory_percent": 75.0,
        },
    ]


@pytest.mark.parametrize("path", ["series", "usage"])
def test_another_tenants_programs_are_not_shown(api: Api, base: str, path: str) -> None:
    with api.client(tenant="other") as other:
        assert other.get(f"{base}/{path}").status_code == 404
