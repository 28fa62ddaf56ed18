"""An instance's log: a stamp and a line each, nothing of an account, nothing that breaks the line."""

from __future__ import annotations

import re
from pathlib import Path

from hegelion_core.generation.instance_log import InstanceLogs, labelled, shortened
from hegelion_core.redaction import Redactor


def test_each_line_of_a_text_has_a_stamp_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    logs = InstanceLogs(lambda number: tmp_path / "logs" / f"{number}.log", lambda text: text)
    with logs.open(1) as write:
        write("one\n\n  two \t words\n")
        assert (tmp_path / "logs" / "1.log").read_text().count("\n") == 2  # at once, for whoever follows
    with logs.open(1) as write:
        labelled(write, "p-ab12cdef")("three\nfour")
    lines = (tmp_path / "logs" / "1.log").read_text().splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines] == [
        "one",
        "two words",
        "[ab12] three",
        "[ab12] four",
    ]


def test_credentials_do_not_reach_a_log(tmp_path: Path) -> None:
    redact = Redactor({"KIMI_API_KEY": "swordfish-4711"})
    with InstanceLogs(lambda number: tmp_path / "log", redact).open(1) as write:
        write("the key swordfish-4711\nand sk-abcdef0123456789abcdef")
    assert "swordfish" not in (tmp_path / "log").read_text()
    assert "abcdef0123" not in (tmp_path / "log").read_text()


def test_a_prompt_takes_one_line_and_a_long_one_says_how_long_it_is() -> None:
    assert shortened("a\nb  c") == "a b c"
    assert shortened("x" * 5000) == f"{'x' * 300} [... 5,000 characters in all]"
