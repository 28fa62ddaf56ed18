"""Every reader of a file, given bytes as an attacker would write them: an answer or one clear error, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hegelion_core.event_log import EventLog, restore
from hegelion_core.events import NoticePosted
from tests.hostile.readers import READERS, read_or_refuse
from tests.hostile.texts import ANY_LINE, LINES


@pytest.mark.parametrize("name", READERS)
def test_a_hostile_file_is_read_or_refused_in_clear_words(name: str, tmp_path: Path) -> None:
    for content in LINES.values():
        read_or_refuse(READERS[name], content, tmp_path)
        read_or_refuse(READERS[name], content + b"\n" + content + b"\n", tmp_path)


def test_any_line_is_read_or_refused_in_clear_words(tmp_path: Path) -> None:
    @given(ANY_LINE, st.sampled_from(list(READERS)))
    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
    def read(line: bytes, name: str) -> None:
        read_or_refuse(READERS[name], line + b"\n", tmp_path)

    read()


def test_an_event_log_goes_on_after_hostile_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(LINES.values()) + b"\n")
    log = EventLog(path)
    log.publish(NoticePosted(text="after all that"))
    log.close()

    state, reader = restore(path)
    assert reader.damaged >= len(LINES) - 2
    assert "after all that" in str(state)
