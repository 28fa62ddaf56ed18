"""Words may be lost when nobody can take them; a result may not."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from hegelion_core.commands import streams
from hegelion_core.errors import UserError
streams.prepare()
try:
    {call}
except UserError as error:
    sys.stderr.write(str(error))
    sys.exit(error.exit_code)
"""


def run(call: str, redirection: str) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} -c '{CODE.format(call=call)}' {redirection}"
    return subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_takes_words_away_and_fails_a_result() -> None:
    words = run('streams.write(sys.stdout, "words")', ">/dev/full")
    assert (words.returncode, words.stderr) == (0, "")
    result = run('streams.write_result("result")', ">/dev/full")
    assert result.returncode == 1
    assert "Standard output cannot be written" in result.stderr


@pytest.mark.parametrize("call", ['streams.write(sys.stdout, "w" * 1000000)', 'streams.write_result("r" * 1000000)'])
def test_a_reader_that_wants_no_more_is_no_fault(call: str) -> None:
    done = run(call, "| head -c 1")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("call", ['streams.write(sys.stdout, "w")', 'streams.write_result("r")'])
def test_a_stream_that_is_closed_leads_nowhere(call: str) -> None:
    done = run(call, ">&-")
    assert (done.returncode, done.stderr) == (0, "")
