"""Call folders: whole requests, no file of one call in the hands of another, nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.teachers.teacher import ERR, OUT, REQUEST, Call


def call(name: str, query: str = "Is it so?") -> Call:
    return Call(call_id=name, prompt_id="p-1", query=query, instance=1)


@pytest.fixture
def folders(tmp_path: Path) -> CallFolders:
    return CallFolders(tmp_path / "spool" / "calls", str)


def test_a_folder_is_used_again_with_the_new_request_alone(folders: CallFolders, tmp_path: Path) -> None:
    first = folders.make(call("a", "A long question, longer than the next one. " * 9))
    inode = first.stat().st_ino
    (first / OUT).write_text("an answer")
    (first / ERR).write_text("a complaint")
    folders.remove(first)
    assert list((tmp_path / "spool" / "calls").iterdir()) == []
    second = folders.make(call("b"))
    assert second.stat().st_ino == inode
    assert [path.name for path in second.iterdir()] == [REQUEST]
    assert list(folders.left()) == [(second, call("b"))]


def test_who_still_writes_for_an_old_call_writes_nothing_into_a_new_ones_answer(folders: CallFolders) -> None:
    first = folders.make(call("a"))
    outlived = os.open(first / OUT, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    folders.remove(first)
    second = folders.make(call("b"))
    (second / OUT).write_text("b says so")
    os.write(outlived, b"a says otherwise")
    os.close(outlived)
    assert folders.said(second) == "b says so"


def test_calls_at_once_have_folders_of_their_own(folders: CallFolders) -> None:
    made = [folders.make(call(name)) for name in "abc"]
    assert len({folder.stat().st_ino for folder in made}) == 3
    assert [found for _, found in folders.left()] == [call(name) for name in "abc"]


def test_a_folder_that_cannot_be_put_away_is_deleted(folders: CallFolders) -> None:
    folder = folders.make(call("a"))
    (folder / OUT).mkdir()
    folders.remove(folder)
    assert not folder.exists()
    assert folders.make(call("b")).is_dir()


def test_nothing_is_left_behind_not_even_by_a_core_that_was_killed(folders: CallFolders, tmp_path: Path) -> None:
    killed = CallFolders(tmp_path / "spool" / "calls", str)
    killed.remove(killed.make(call("a")))
    folders.remove(folders.make(call("b")))
    folders.close()
    assert list((tmp_path / "spool").iterdir()) == [tmp_path / "spool" / "calls"]
    assert folders.make(call("c")).is_dir()


def test_a_call_that_is_over_is_never_seen_without_its_answer(
    folders: CallFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local teacher's engine, another process, would take it for one that waits."""
    folder = folders.make(call("a"))
    (folder / OUT).write_text("an answer")
    seen: list[Path] = []
    unlink = Path.unlink

    def looking(path: Path, missing_ok: bool = False) -> None:
        seen.extend((tmp_path / "spool" / "calls").iterdir())
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", looking)
    folders.remove(folder)
    assert seen == []
    assert not (tmp_path / "spool" / "spare" / "a" / OUT).exists()
