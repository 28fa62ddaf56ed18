"""The fast BLAS: made, loaded, measured."""

from __future__ import annotations

import importlib.metadata
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.models import blas

ON_PROCESSOR = sys.platform == "linux" and not blas.has_cuda()

MEASURE = """
import time
from hegelion_core.models.blas import prepare_mlx
line = prepare_mlx({processes})
assert prepare_mlx({processes}) == line
import mlx.core as mx
a = mx.random.normal((1024, 1024))
mx.eval(a)
seconds = []
for _ in range({repeats}):
    begun = time.perf_counter()
    mx.eval(a @ a)
    seconds.append(time.perf_counter() - begun)
import os
print(line, min(seconds), os.environ.get("OPENBLAS_NUM_THREADS"), sep="|")
"""


def measure(environ: dict[str, str], repeats: int = 1, processes: int = 1) -> tuple[str, float, str]:
    """The line, the seconds of a 1024 x 1024 product and the threads, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_NUM_THREADS", blas.SWITCH)}
    code = MEASURE.format(repeats=repeats, processes=processes)
    done = subprocess.run([sys.executable, "-c", code], env=kept | environ, capture_output=True, text=True, check=True)
    line, seconds, threads = done.stdout.strip().split("|")
    return line, float(seconds), threads


def test_the_fast_blas_is_more_than_ten_times_as_fast() -> None:
    line, seconds, _ = measure({}, repeats=20 if ON_PROCESSOR else 2)
    if not ON_PROCESSOR:
        assert line in ("MLX computes on Metal.", "MLX computes on CUDA.")
        return
    stock_line, stock_seconds, _ = measure({blas.SWITCH: "stock"})
    assert f"OpenBLAS {'.'.join(importlib.metadata.version(blas.PACKAGE).split('.')[:3])}" in line
    assert "slow" in stock_line
    assert stock_seconds > 10 * seconds


@pytest.mark.parametrize(("environ", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "7"}, "7")])
def test_the_cores_are_shared_out_unless_the_user_says(environ: dict[str, str], threads: str) -> None:
    _, _, said = measure(environ, processes=10_000)
    assert said == (threads if ON_PROCESSOR else environ.get("OPENBLAS_NUM_THREADS", "None"))


def test_a_cache_that_cannot_be_written_leaves_the_stock_one_and_says_what_to_do(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    line, _, _ = measure({"XDG_CACHE_HOME": str(blocked)})
    assert not ON_PROCESSOR or "XDG_CACHE_HOME" in line
    assert "\n" not in line


def test_the_copy_is_made_once_and_whole(tmp_path: Path) -> None:
    if not ON_PROCESSOR:
        assert blas.prepare_mlx() in ("MLX computes on Metal.", "MLX computes on CUDA.")
        return
    measure({"XDG_CACHE_HOME": str(tmp_path)})
    (copy,) = tmp_path.rglob("*.so")
    names = set(blas.dynamic_symbols(copy.read_bytes()))
    assert {"cblas_sgemm", "sgemm_", "openblas_set_num_threads"} <= names
    assert not any(name.startswith(blas.PREFIX) for name in names)
    made = copy.stat().st_mtime_ns
    measure({"XDG_CACHE_HOME": str(tmp_path)})
    assert copy.stat().st_mtime_ns == made
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def elf(names: list[str]) -> bytes:
    """A minimal ELF-64 file: a header, a string table, a symbol table and their two section headers."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    starts = [strings.index(b"\0" + name.encode() + b"\0") + 1 for name in names]
    symbols = b"".join(struct.pack("<IBBHQQ", start, 0, 0, 0, 0, 0) for start in starts)
    table = 64 + len(strings) + len(symbols)
    header = b"\x7fELF\x02\x01".ljust(40, b"\0") + struct.pack("<Q", table)
    header = header.ljust(0x3A, b"\0") + struct.pack("<HHH", 64, 2, 0)
    sections = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 64, len(strings), 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 0, 11, 0, 0, 64 + len(strings), len(symbols), 0, 0, 8, 24)
    return header.ljust(64, b"\0") + strings + symbols + sections


NAMES = st.lists(st.text("abc_", min_size=1, max_size=12), max_size=20, unique=True)


@given(NAMES)
def test_the_symbols_of_an_elf_file_are_read(names: list[str]) -> None:
    assert blas.dynamic_symbols(elf(names)) == names


@given(NAMES, st.data())
def test_a_file_that_was_cut_short_is_a_value_error(names: list[str], data: st.DataObject) -> None:
    whole = elf(names)
    with pytest.raises(ValueError, match="ELF"):
        blas.dynamic_symbols(whole[: data.draw(st.integers(0, len(whole) - 1))])
