"""Samples of GPUs through NVML: its binding's own names, as its documentation has them, without a GPU."""

# ruff: noqa: N802 - the names are the binding's

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from services.core.observations import GpuSample
from services.runner.gpus import Gpus


class NVMLError(Exception):
    """What the binding raises."""


class Machine(ModuleType):
    """`pynvml` on a machine with two GPUs, which may go away. Older bindings give names as bytes."""

    NVMLError = NVMLError

    def __init__(self, *, has_driver: bool = True) -> None:
        super().__init__("pynvml")
        self.has_driver = has_driver
        self.is_lost = False

    def nvmlInit(self) -> None:
        if not self.has_driver:
            raise NVMLError("driver not loaded")

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return b"NVIDIA A100" if handle else "NVIDIA H100"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        if self.is_lost:
            raise NVMLError("GPU is lost")
        return SimpleNamespace(total=80 << 30, used=(handle + 1) << 30, free=0)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=97 - handle, memory=40)


def test_each_gpu_is_sampled_with_its_name_its_use_and_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Machine())

    assert Gpus().samples() == (
        GpuSample(index=0, name="NVIDIA H100", used_percent=97.0, memory_bytes=1 << 30, memory_total_bytes=80 << 30),
        GpuSample(index=1, name="NVIDIA A100", used_percent=96.0, memory_bytes=2 << 30, memory_total_bytes=80 << 30),
    )


def test_gpus_that_are_lost_are_no_more_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setitem(sys.modules, "pynvml", machine)
    gpus = Gpus()
    machine.is_lost = True
    assert gpus.samples() == ()

    machine.is_lost = False
    assert gpus.samples() == ()


def test_without_a_driver_or_a_binding_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Machine(has_driver=False))
    assert Gpus().samples() == ()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Gpus().samples() == ()
