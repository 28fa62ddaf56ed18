"""What the processes of a group do with each other: shares, keys, and a process that hangs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from hypothesis import given, settings
from hypothesis import strategies as st

from hegelion_core.training.batching import TokenRow
from hegelion_core.training.distributed.group import Key, Solo, key_of
from hegelion_core.training.distributed.launch import free_ports
from hegelion_core.training.distributed.share import processes_here, rows_at_a_time
from hegelion_core.training.plan import MAX_SHAPES, Batch, BatchPlan

HANGING = """
import os, signal, sys, time
import mlx.core as mx
from hegelion_core.training.distributed.group import Together
group = Together(mx.distributed.init(strict=True, backend="ring"), patience=0.5)
group.wait()
if group.rank == 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    group.wait()
    while True:
        time.sleep(60)
group.wait()
group.sum([mx.ones(3)])
"""
"""Of two processes the second is not reached any more, and takes no notice of being asked to end."""

LAUNCHING = """
import sys
from collections.abc import Sequence
from pathlib import Path
from hegelion_core.settings import TrainingSettings
from hegelion_core.training.distributed import launch
from hegelion_core.training.distributed.hosts import plan_group
import msgspec
launch.GRACE = 1.0
group = plan_group(TrainingSettings(processes=2), None, {"127.0.0.1"})
folder = Path(sys.argv[1])
(folder / "hosts.json").write_bytes(msgspec.json.encode(group.hosts))
arguments = group.arguments(str(folder / "hosts.json"), launch.free_ports(2))
print("codes", launch._run([*arguments, "--", sys.executable, str(folder / "hanging.py")], group, folder), flush=True)
"""


def test_a_group_in_which_one_hangs_ends(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    result = subprocess.run(
        [sys.executable, "-c", LAUNCHING, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    pid, codes = result.stdout.splitlines()
    assert codes == "codes [1]"
    assert "hangs and is killed" in result.stderr
    assert "Timeout" in result.stderr  # and where the first process was waiting
    assert not psutil.pid_exists(int(pid))


def test_one_process_alone_changes_nothing() -> None:
    group, asked = Solo(), [False]
    answer = group.agree(lambda: asked[0])
    assert not answer()
    asked[0] = True
    assert answer()  # at once
    assert group.gather((1, 2)) == ((1, 2),)
    assert processes_here({}) == 1
    assert processes_here({"HEGELION_GROUP": "ring:3"}) == 3


@given(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), st.integers(2, 64))
def test_every_process_has_a_random_state_of_its_own(first: Key, size: int) -> None:
    keys = [key_of(rank, (first,), size) for rank in range(size)]
    assert keys[0] == first
    assert len(set(keys)) == size
    assert all(0 <= part < 2**32 for key in keys for part in key)
    assert [key_of(rank, keys, size) for rank in range(size)] == keys  # as a checkpoint has them
    assert [key_of(rank, keys[:1], size) for rank in range(size)] == keys


@settings(max_examples=40, deadline=None)  # a packed plan looks ahead, and machines are busy
@given(
    st.integers(1, 60),
    st.integers(1, 9),
    st.none() | st.integers(1, 9),
    st.integers(2, 8),
    st.booleans(),
    st.booleans(),
)
def test_a_group_sees_the_rows_of_one_process(
    rows: int, batch: int, micro: int | None, size: int, packed: bool, long: bool
) -> None:
    """In every step the same ones, nobody more than a part of them, in no more shapes."""
    lengths = np.random.default_rng(rows).integers(5, 3000 if long else 200, rows)
    made = [TokenRow(np.zeros(length, np.int32), 2) for length in lengths]
    one = BatchPlan(made, batch, 0, micro, packed=packed)
    shared = BatchPlan(made, batch, 0, rows_at_a_time(batch, micro, size), packed=packed)
    shapes = set()
    for step in range(1, 2 * one.batches_per_epoch + 1):
        batches = shared.step(step)
        assert _rows(batches) == _rows(one.step(step))
        shapes |= {part.inputs.shape for part in batches}
        if micro is None:
            assert max(len(_rows(batches[rank::size])) for rank in range(size)) <= -(-batch // size)
    assert len(shapes) <= MAX_SHAPES


def _rows(batches: Sequence[Batch]) -> list[int]:
    return sorted(int(row) for batch in batches for row in batch.rows)


def test_free_ports_are_free() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = {free_ports(2, range(port - 1, port + 3)) for _ in range(20)}
    assert found <= {port + 1, port + 2}
