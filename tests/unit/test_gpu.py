from __future__ import annotations

import ctypes.util
import sys
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.gpu import Gpu, Nvml, open_reader, parse_ioreg

GIB = 1 << 30
APPLE = """\
+-o AGXAcceleratorG13X  <class AGXAcceleratorG13X, id 0x1000005b6, registered, matched, active, busy 0 (0 ms), retain 6>
    {
      "IOClass" = "AGXAcceleratorG13X"
      "model" = "Apple M1 Pro"
      "gpu-core-count" = 16
      "PerformanceStatistics" = {"In use system memory (driver)"=0,"Alloc system memory"=4783898624,"Tiler Utilization \
%"=27,"recoveryCount"=0,"Renderer Utilization %"=26,"Device Utilization %"=29,"SplitSceneCount"=0,"In use system \
memory"=1154580480}
    }

"""
INTEL = """\
+-o AMDRadeonX6000_AMDNavi14GraphicsAccelerator  <class AMDRadeonX6000, id 0x100000a1d, registered, matched, active>
    {
      "PerformanceStatistics" = {"vramFreeBytes"=4186906624,"Device Utilization %"=3}
    }

+-o IntelAccelerator  <class IntelAccelerator, id 0x100000a2b, registered, matched, active, busy 0 (2 ms), retain 12>
    {
      "PerformanceStatistics" = {"recoveryCount"=0}
    }

"""


def test_apples_processor_tells_how_busy_it_is_and_what_it_holds() -> None:
    assert parse_ioreg(APPLE) == (Gpu("Apple M1 Pro", 29.0, 1154580480, None),)


def test_one_without_a_model_goes_by_its_driver_and_one_without_figures_is_left_out() -> None:
    assert parse_ioreg(INTEL) == (Gpu("AMDRadeonX6000_AMDNavi14GraphicsAccelerator", 3.0, None, None),)


@given(st.text())
def test_any_text_is_borne(text: str) -> None:
    assert all(gpu.busy is None or gpu.busy >= 0 for gpu in parse_ioreg(f"+-o x {text}\n{APPLE}"))


@pytest.mark.parametrize("text", ["", "+-o AGX", "ioreg: unknown option"])
def test_without_a_processor_there_is_none(text: str) -> None:
    assert parse_ioreg(text) == ()


class Refused(Exception):
    """What the library raises."""


@dataclass
class Figures:
    gpu: int = 0
    used: int = 0
    total: int = 0


class Library:
    """A driver with two processors, the second of which shares the machine's memory; ``gone``: it was unloaded."""

    NVMLError: type[Exception] = Refused

    def __init__(self) -> None:
        self.gone = False

    def nvmlInit(self) -> None:  # noqa: N802 - NVIDIA's names
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        if self.gone:
            raise Refused
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle: object) -> str:  # noqa: N802
        return f"NVIDIA {handle}"

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> Figures:  # noqa: N802
        return Figures(gpu=87)

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Figures:  # noqa: N802
        if handle == 1:
            raise Refused
        return Figures(used=10 * GIB, total=24 * GIB)


def test_nvidias_library_is_asked_for_every_processor() -> None:
    library = Library()
    reader = Nvml(library)
    assert reader.read() == (Gpu("NVIDIA 0", 87.0, 10 * GIB, 24 * GIB), Gpu("NVIDIA 1", 87.0, None, None))
    library.gone = True
    assert reader.read() == ()


@pytest.mark.skipif(
    sys.platform == "darwin" or ctypes.util.find_library("nvidia-ml") is not None, reason="there is a driver"
)
def test_a_machine_without_a_driver_says_nothing() -> None:
    assert open_reader().read() == ()
