"""What the graphics processors do: NVIDIA's through its management library, Apple's through ``ioreg``; without root.

A machine without either has none to tell of. Sizes in bytes.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Protocol

_DEVICE = re.compile(r'"Device Utilization %"=(\d+)')
_MEMORY = re.compile(r'"In use system memory"=(\d+)')
_MODEL = re.compile(r'"model" = "([^"]*)"')
_NVIDIA = ("/dev/nvidiactl", "/dev/nvhost-ctrl", "/dev/dxg")
"""What is there where NVIDIA's driver is: on a machine, on a Jetson, in WSL. To load its library takes long."""
_STATISTICS = re.compile(r'"PerformanceStatistics" = \{([^\n]*)\}')


@dataclass(frozen=True)
class Gpu:
    """One graphics processor. What it does not tell is ``None``."""

    name: str
    busy: float | None
    """Percent of the time in which it worked, 0 to 100."""
    used: int | None
    total: int | None
    """``None`` where it shares the machine's memory."""


class GpuReader(Protocol):
    """Reads every graphics processor of this machine; may block for some tens of milliseconds."""

    def read(self) -> tuple[Gpu, ...]: ...


class NoGpus:
    """A machine that tells of none."""

    def read(self) -> tuple[Gpu, ...]:
        return ()


class Metal:
    """Apple's, as the driver's statistics in the I/O registry tell it to everyone."""

    def read(self) -> tuple[Gpu, ...]:
        command = ["ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator"]
        try:
            told = subprocess.run(command, capture_output=True, timeout=2, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            return ()
        return parse_ioreg(told.decode("utf-8", "replace"))


def parse_ioreg(text: str) -> tuple[Gpu, ...]:
    """The processors in what ``ioreg -r -d 1 -w 0 -c IOAccelerator`` prints: entries, each begun with ``+-o``."""
    found: list[Gpu] = []
    for entry in re.split(r"^\+-o ", text, flags=re.MULTILINE)[1:]:
        statistics = _STATISTICS.search(entry)
        if statistics is None:
            continue
        busy, used = _DEVICE.search(statistics[1]), _MEMORY.search(statistics[1])
        if busy is None and used is None:
            continue
        model = _MODEL.search(entry)
        name = model[1] if model else entry.split(maxsplit=1)[0]
        found.append(Gpu(name, float(busy[1]) if busy else None, int(used[1]) if used else None, None))
    return tuple(found)


class Utilization(Protocol):
    """``nvmlUtilization_t``; percent."""

    gpu: int


class Memory(Protocol):
    """``nvmlMemory_t``; bytes."""

    used: int
    total: int


class NvmlApi(Protocol):
    """What is used of ``pynvml``, the module of ``nvidia-ml-py``. Every call may raise its ``NVMLError``."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802 - NVIDIA's names
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> object: ...  # noqa: N802
    def nvmlDeviceGetName(self, handle: object) -> str: ...  # noqa: N802
    def nvmlDeviceGetUtilizationRates(self, handle: object) -> Utilization: ...  # noqa: N802
    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Memory: ...  # noqa: N802


class Nvml:
    """NVIDIA's. The library was opened already; its driver may go away at any time."""

    def __init__(self, api: NvmlApi) -> None:
        self._api = api

    def read(self) -> tuple[Gpu, ...]:
        try:
            count = self._api.nvmlDeviceGetCount()
            return tuple(self._device(self._api.nvmlDeviceGetHandleByIndex(index)) for index in range(count))
        except self._api.NVMLError:
            return ()

    def _device(self, handle: object) -> Gpu:
        api = self._api
        busy: float | None = None
        used = total = None
        with contextlib.suppress(api.NVMLError):  # a slice of a processor does not tell
            busy = float(api.nvmlDeviceGetUtilizationRates(handle).gpu)
        with contextlib.suppress(api.NVMLError):  # one that shares the machine's memory does not tell
            memory = api.nvmlDeviceGetMemoryInfo(handle)
            used, total = memory.used, memory.total
        return Gpu(api.nvmlDeviceGetName(handle), busy, used, total)


def open_reader() -> GpuReader:
    """The reader for this machine. Loads a library: call it where nothing waits."""
    if sys.platform == "darwin":
        return Metal()
    if sys.platform == "linux" and not any(map(os.path.exists, _NVIDIA)):
        return NoGpus()
    import pynvml  # here, since hardly anyone has one

    api: NvmlApi = pynvml
    try:
        api.nvmlInit()
    except api.NVMLError:
        return NoGpus()
    return Nvml(api)
