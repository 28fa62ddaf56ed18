"""Durable files: whole records or nothing, old content or new."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hegelion_core import workspace
from hegelion_core.workspace import Workspace


def test_the_demo_has_the_same_layout_below_a_folder_of_its_own(tmp_path: Path) -> None:
    plain, demo = Workspace(tmp_path), Workspace(tmp_path, demo=True)
    assert demo.artifacts == plain.artifacts / "demo"
    assert demo.train_log.relative_to(demo.artifacts) == plain.train_log.relative_to(plain.artifacts)


def test_replace_is_atomic_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    workspace.replace(path, b"old")
    inode = path.stat().st_ino
    workspace.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != inode
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_writes_a_file_anew_removes_what_killed_writers_of_it_left(tmp_path: Path) -> None:
    path, gone = tmp_path / "a.json", dead_pid()
    left = tmp_path / f".a.json.{gone}.tmp"
    others = [tmp_path / f".a.json.{os.getppid()}.tmp", tmp_path / f".b.json.{gone}.tmp", tmp_path / ".a.json.old"]
    for each in (left, *others):
        each.touch()
    workspace.replace(path, b"new")
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])
    left = tmp_path / f".l.{gone}.link"
    left.symlink_to("nowhere")
    workspace.link(tmp_path / "l", "one")
    assert sorted(tmp_path.iterdir()) == sorted([path, tmp_path / "l", *others])


def dead_pid() -> int:
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def test_a_link_that_could_not_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "l").mkdir()
    with pytest.raises(OSError, match=r"Is a directory|cannot overwrite"):
        workspace.link(tmp_path / "l", "one")
    assert [path.name for path in tmp_path.iterdir()] == ["l"]


def test_a_link_is_replaced(tmp_path: Path) -> None:
    workspace.link(tmp_path / "l", "one")
    workspace.link(tmp_path / "l", "two")
    assert (tmp_path / "l").readlink() == Path("two")


def test_a_short_write_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    workspace.append(path, b"first\n")
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    with pytest.raises(OSError, match="only 3 of 7 bytes"):
        workspace.append(path, b"second\n")
    assert path.read_bytes() == b"first\n"


def test_a_folders_hash_depends_on_names_and_content_only(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "a").write_text("x")
    assert workspace.sha256(one) == workspace.sha256(two)
    (two / "a").write_text("y")
    assert workspace.sha256(one) != workspace.sha256(two)


def _count_up(path: Path, times: int) -> None:
    for _ in range(times):
        with workspace.locked(path.with_suffix(".lock")):
            path.write_text(str(int(path.read_text()) + 1))


def test_the_lock_keeps_other_processes_out(tmp_path: Path) -> None:
    path = tmp_path / "n"
    path.write_text("0")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count_up, args=(path, 50)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert path.read_text() == "200"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_ended_runs_no_more_though_nobody_asked_for_its_end(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        assert workspace.alive(os.getpid())
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert not workspace.alive(ended.pid)
        left = tmp_path / f".rows.{ended.pid}.tmp"
        left.touch()
        workspace.sweep(tmp_path, "rows")
        assert not left.exists()


def test_a_file_is_moved_to_another_disk_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    source, target = tmp_path / "weights", elsewhere / "weights"
    source.write_bytes(b"weights")
    rename = Path.replace

    def across(path: Path, to: Path) -> Path:
        if path.parent != to.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(path, to)

    monkeypatch.setattr(Path, "replace", across)
    with monkeypatch.context() as full:
        full.setattr(shutil, "copy2", _full)
        with pytest.raises(OSError, match="No space"):
            workspace.move(source, target)
    assert source.read_bytes() == b"weights"
    workspace.move(source, target)
    assert [path.name for path in tmp_path.rglob("*")] == ["elsewhere", "weights"]
    assert target.read_bytes() == b"weights"


def _full(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:3])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
