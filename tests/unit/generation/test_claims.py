"""Claims: one holder a prompt, in this process and in others; a dead holder's claims are free."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hegelion_core.generation.claims import Claims

ONE, TWO = "p-0123456789abcdef", "p-ffffffffffffffff"
HOLDER = """
import sys
from pathlib import Path
from hegelion_core.generation.claims import Claims
claims = Claims(Path(sys.argv[1]))
print(claims.take(sys.argv[2]), flush=True)
sys.stdin.read()
"""


def test_a_prompt_is_claimed_once(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "samples.jsonl")
    assert claims.take(ONE)
    assert not claims.take(ONE)
    assert claims.take(TWO)
    claims.release(ONE)
    assert claims.take(ONE)
    claims.close()


def test_another_processs_claim_holds_until_it_dies(tmp_path: Path) -> None:
    output = tmp_path / "samples.jsonl"
    claims = Claims(output)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(output), ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert not claims.take(ONE)
    assert claims.take(TWO)
    holder.kill()
    holder.wait()
    assert claims.take(ONE)
    claims.close()
