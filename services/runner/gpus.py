"""Samples of the GPUs of this machine by NVML, where there are any and a binding for it is installed; else none.

The binding (`nvidia-ml-py`) is optional: who wants samples installs it beside the runner, where that sees the GPUs.
"""

import importlib
from typing import Any

import structlog

from services.core.observations import GpuSample

log = structlog.get_logger()


class Gpus:
    """Reads how busy and how full each GPU is. Never raises: without NVML, or once it fails, there are no samples."""

    def __init__(self) -> None:
        self._nvml = _binding()
        self._handles: list[tuple[Any, str]] = []
        if self._nvml is None:
            return
        try:
            self._nvml.nvmlInit()
            for index in range(self._nvml.nvmlDeviceGetCount()):
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                self._handles.append((handle, _text(self._nvml.nvmlDeviceGetName(handle))))
        except self._nvml.NVMLError as error:
            log.debug("no_gpus", why=str(error))
            self._handles = []

    def samples(self) -> tuple[GpuSample, ...]:
        """One sample of each GPU; memory in bytes, use in percent of the last moment."""
        if self._nvml is None or not self._handles:
            return ()
        try:
            return tuple(self._sample(index, *one) for index, one in enumerate(self._handles))
        except self._nvml.NVMLError as error:
            log.warning("gpus_lost", why=str(error))
            self._handles = []
            return ()

    def _sample(self, index: int, handle: Any, name: str) -> GpuSample:
        assert self._nvml is not None
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        return GpuSample(
            index=index,
            name=name,
            used_percent=float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            memory_bytes=int(memory.used),
            memory_total_bytes=int(memory.total),
        )


def _binding() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
