"""What goes to the disk when there is much of it: the same answers as in memory, and one clear line if it is full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.spill import SeenKeys

KEYS = st.binary(min_size=2, max_size=2)


@given(st.lists(st.tuples(KEYS, st.booleans())), st.integers(1, 20))
def test_it_is_a_set_wherever_its_keys_are(steps: list[tuple[bytes, bool]], held: int) -> None:
    plain = set[bytes]()
    with SeenKeys(held) as keys:
        for key, counting in steps:
            assert (key in keys) == (key in plain)
            keys.add(key)
            plain.add(key)
            assert key in keys
            if counting:  # which lets the newest go to the disk
                assert len(keys) == len(plain)
        for count, key in enumerate([b"", *sorted(plain)]):
            assert keys.smallest(count) == key


FULL = """
import resource
from hegelion_core import spill
from hegelion_core.errors import UserError
spill.CACHE = 64
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    with spill.SeenKeys(1000) as keys:
        for number in range(100_000):
            if number.to_bytes(16, "big") not in keys:
                keys.add(number.to_bytes(16, "big"))
except UserError as error:
    print(number, error)
"""


def test_a_full_disk_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQLITE_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=True)
    told, advice = done.stdout.splitlines()
    number, _, words = told.partition(" ")
    assert int(number) > 10_000  # it is a file, which may grow up to the limit
    assert words.startswith(f"{tmp_path}: no temporary file can be kept there (")
    assert "TMPDIR" in advice
    assert not done.stderr
