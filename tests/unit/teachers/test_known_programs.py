"""What is known of programs: believed while the file is the same, and not for ever."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hegelion_core.teachers import known_programs
from hegelion_core.teachers.known_programs import KnownPrograms
from hegelion_core.teachers.which_kimi import Kimi


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program behind a link, as npm installs it."""
    real = tmp_path / "lib" / "main.mjs"
    real.parent.mkdir()
    real.write_text("version 1")
    link = tmp_path / "kimi"
    link.symlink_to(real)
    return link


def test_a_version_is_believed_until_the_file_behind_the_link_changes(tmp_path: Path, program: Path) -> None:
    known = KnownPrograms(tmp_path / "artifacts" / "teachers.json")
    assert known.version(program) is None
    kimi = Kimi(program, "2.1.0", "kimi-code")
    known.learn_version(kimi)
    assert KnownPrograms(tmp_path / "artifacts" / "teachers.json").version(program) == kimi
    other = tmp_path / "lib" / "other.mjs"
    other.write_text("version 2")
    other.replace(program.resolve())
    assert known.version(program) is None


def test_a_version_is_not_believed_for_ever_nor_from_the_future(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KnownPrograms(tmp_path / "teachers.json")
    known.learn_version(Kimi(program, "2.1.0", "kimi-code"))
    now = time.time()
    for shift in (known_programs.MAX_AGE + 1, -10.0):
        monkeypatch.setattr(time, "time", lambda shift=shift: now + shift)
        assert known.version(program) is None


def test_a_program_can_be_forgotten_and_what_was_proved_stays(tmp_path: Path, program: Path) -> None:
    known = KnownPrograms(tmp_path / "teachers.json")
    known.learn_version(Kimi(program, "2.1.0", "kimi-code"))
    known.learn_proved("kimi-code 2.1.0 abc")
    known.forget(program)
    assert known.version(program) is None
    assert known.is_proved("kimi-code 2.1.0 abc")
    assert not known.is_proved("kimi-code 2.1.1 abc")


@pytest.mark.parametrize("content", [b"", b"not json", b'{"programs": 3}', b"\xff"])
def test_a_damaged_file_is_knowledge_lost_and_no_more(tmp_path: Path, program: Path, content: bytes) -> None:
    path = tmp_path / "teachers.json"
    path.write_bytes(content)
    known = KnownPrograms(path)
    assert known.version(program) is None
    known.learn_proved("x")
    assert known.is_proved("x")


def test_a_program_that_is_gone_is_not_known(tmp_path: Path, program: Path) -> None:
    known = KnownPrograms(tmp_path / "teachers.json")
    known.learn_version(Kimi(program, "2.1.0", "kimi-code"))
    program.unlink()
    assert known.version(program) is None
