"""A workspace that someone else prepared, to have us write, or remove, what lies elsewhere."""

from __future__ import annotations

import os
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hegelion_core import workspace
from hegelion_core.comparing import exchange
from hegelion_core.core import Core
from hegelion_core.dialectic.steps import Step
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.generation import asking, by_hand
from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.generation.claims import Claims
from hegelion_core.generation.decisions import decisions_path
from hegelion_core.generation.dialogue import Silence
from hegelion_core.generation.instance_log import InstanceLogs
from hegelion_core.generation.store import Rejected, SampleStore
from hegelion_core.settings import Settings
from hegelion_core.supervisor import Supervisor
from hegelion_core.teachers import kimi_sessions
from hegelion_core.teachers.choose import make_teacher
from hegelion_core.teachers.teacher import Call, TeacherInfo
from hegelion_core.workspace import RunFolder, Workspace
from tests.hostile.texts import SHELL, STEERING
from tests.unit.generation.test_store import sample

REFUSED = "symbolic link|hard link|no regular file|No such device"
TREASURE = "the user's own"
SETTINGS = Settings.model_validate({"generation": {"teacher": "kimi-cli"}})


REJECTED = Rejected(
    at=1.0,
    prompt_id="p-1",
    query=SHELL,
    kind="rejected",
    reason="no_trace",
    detail=SHELL,
    attempt=1,
    text=SHELL,
    teacher="kimi-code",
    call_id="1",
)


class _Deaf(Silence):
    """A face that nobody looks at."""

    watches = False

    def ready(self, info: TeacherInfo) -> None: ...

    def heard(self, who: str, text: str) -> None: ...

    def grows(self, step: Step, reply: str) -> None: ...


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder of the user's, outside of the workspace; whatever happens, it stays as it is."""
    with tempfile.TemporaryDirectory(prefix="elsewhere") as name:
        folder = Path(name)
        (folder / "1").mkdir()
        for file in (folder / "file", folder / "1" / "file"):
            file.write_text(TREASURE)
        yield folder
        assert sorted(path.name for path in folder.rglob("*")) == ["1", "file", "file"]
        assert (folder / "file").read_text() == (folder / "1" / "file").read_text() == TREASURE


@pytest.fixture
async def run(tmp_path: Path) -> RunFolder:
    """A run that ended, which the next core opens again."""
    core = await Core.open(Workspace(tmp_path), SETTINGS)
    for folder in (core.folder.calls, core.folder.checkpoints):
        folder.mkdir()
    await core.close()
    return core.folder


PLANTED: dict[str, Callable[[RunFolder], Path]] = {
    "the run": lambda run: run.path,
    "the event log": lambda run: run.events,
    "its snapshot": lambda run: run.events.with_suffix(".snapshot"),
    "the settings": lambda run: run.settings,
    "the metrics": lambda run: run.metrics,
    "the prompts": lambda run: run.prompts,
    "the report": lambda run: run.report,
    "the spool": lambda run: run.spool,
    "the calls": lambda run: run.calls,
    "a call": lambda run: run.calls / "1",
    "the mark": lambda run: run.mark,
    "spare folders": lambda run: run.calls.with_name("spare"),
    "questions": exchange.folder_of,
    "the checkpoints": lambda run: run.checkpoints,
    "a checkpoint": lambda run: run.checkpoints / "step-1.tmp",
    "earlier outputs": lambda run: run.path / "outputs",
    "the best adapter": lambda run: run.best_adapter,
    "replaced adapters": lambda run: run.replaced,
}


@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize("name", PLANTED)
async def test_a_link_that_leads_out_of_a_run_is_refused(
    name: str, kind: str, run: RunFolder, elsewhere: Path, tmp_path: Path
) -> None:
    planted = PLANTED[name](run)
    if planted.exists():
        planted.rename(tmp_path / "aside")
    planted.symlink_to(elsewhere if kind == "folder" else elsewhere / "file")
    for new in (False, True):
        if (kind, name) == ("file", "the run"):
            break  # no folder, so no run
        with pytest.raises(UserError, match=r"is a link") as refused:
            await Core.open(Workspace(tmp_path), SETTINGS, new=new)
        assert str(planted) in refused.value.message
        assert "\n" not in refused.value.message


async def test_a_pipe_in_a_run_is_refused_and_not_waited_for(run: RunFolder, tmp_path: Path) -> None:
    os.mkfifo(run.spool / "kimi-folder")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        await Core.open(Workspace(tmp_path), SETTINGS)


@pytest.mark.parametrize("name", ["events.jsonl", "metrics.jsonl", "settings.json", "spool/core.mark"])
async def test_a_file_of_a_run_that_has_another_name_is_refused(
    name: str, run: RunFolder, elsewhere: Path, tmp_path: Path
) -> None:
    """A hard link cannot be told from the file: what is appended to one is in the other."""
    (run.path / name).unlink(missing_ok=True)
    os.link(elsewhere / "file", run.path / name)
    if name == "events.jsonl":
        (elsewhere / "file").write_text(TREASURE)  # newer than the others
    with pytest.raises(UserError, match="is a hard link") as refused:
        await Core.open(Workspace(tmp_path), SETTINGS)
    assert refused.value.exit_code == ExitCode.USAGE


async def test_links_within_a_run_and_what_was_kept_are_no_harm(
    run: RunFolder, elsewhere: Path, tmp_path: Path
) -> None:
    (run.checkpoints / "step-1").mkdir()
    workspace.link(run.checkpoints / "latest", "step-1")
    (run.path / "outputs").mkdir()
    (run.path / "outputs" / "samples.jsonl").symlink_to(elsewhere / "file")
    core = await Core.open(Workspace(tmp_path), SETTINGS)
    assert core.folder == run
    await core.close()


def _log(path: Path) -> None:
    with InstanceLogs(lambda _: path, str).open(1) as write:
        write(SHELL)


async def _child(path: Path) -> None:
    supervisor = Supervisor(path.with_name("mark"))
    try:
        await supervisor.spawn("echo", ["echo", SHELL], cwd=path.parent, env={}, stdout=path)
    finally:
        await supervisor.close()


@pytest.mark.parametrize("target", ["file", "pipe", "missing", "hard link"])
async def test_what_we_write_goes_through_no_link_and_into_no_pipe(
    target: str, elsewhere: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s.jsonl"
    attempts: dict[Path, Callable[[], object]] = {
        tmp_path / "generator_1.log": lambda: _log(tmp_path / "generator_1.log"),
        path: lambda: SampleStore(path).append(sample("Is it so?"), 9),
        tmp_path / "s.rejected.jsonl": lambda: SampleStore(path).reject(REJECTED),
        tmp_path / ".s.jsonl.claims": lambda: Claims(path),
        tmp_path / "reports": lambda: workspace.append(tmp_path / "reports", b"{}\n"),
    }
    for planted, write in attempts.items():
        path.unlink(missing_ok=True)
        _plant(planted, target, elsewhere)
        with pytest.raises((OSError, UserError), match=REFUSED) as refused:
            write()
        if isinstance(refused.value, OSError):
            assert "\n" not in explain(refused.value).message
        planted.unlink()
    _plant(tmp_path / "train.log", target, elsewhere)
    with pytest.raises(OSError, match=REFUSED):
        await _child(tmp_path / "train.log")


def _plant(path: Path, target: str, elsewhere: Path) -> None:
    if target == "pipe":
        os.mkfifo(path)
    elif target == "hard link":
        os.link(elsewhere / "file", path)
    else:
        path.symlink_to(elsewhere / target)


def test_a_decision_goes_through_no_link(elsewhere: Path, tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "s.jsonl")
    store.append(sample("Is it so?"), 9)
    decisions_path(store.path).symlink_to(elsewhere / "file")
    with pytest.raises((OSError, UserError)):
        by_hand.decide(store, store.line(0), "reject", reason="no")


@pytest.mark.parametrize("target", ["file", "hard link"])
def test_a_cache_of_verdicts_that_is_a_link_is_not_written_to(target: str, elsewhere: Path, tmp_path: Path) -> None:
    _plant(tmp_path / ".s.jsonl.verdicts", target, elsewhere)
    store = SampleStore(tmp_path / "s.jsonl")
    store.append(sample("Is it so?"), 9)
    store.refresh()
    assert store.accepted == 1


def test_a_replacement_goes_through_no_link(elsewhere: Path, tmp_path: Path) -> None:
    path = tmp_path / "core.json"
    path.symlink_to(elsewhere / "file")
    path.with_name(f".core.json.{os.getpid()}.tmp").symlink_to(elsewhere / "file")
    workspace.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()


@pytest.mark.parametrize("name", ["hegelion-console", f"{kimi_sessions.PREFIX}0123456789ab"])
def test_a_note_names_nothing_that_is_then_removed(name: str, run: RunFolder, tmp_path: Path) -> None:
    """A core that was killed leaves a note of its working folders, which the next one removes."""
    precious = tmp_path / name
    precious.mkdir()
    supervisor = Supervisor(tmp_path / "mark")
    teacher = make_teacher("kimi-cli", supervisor, run=run, place=Workspace(tmp_path), settings=SETTINGS)
    link = Path(tempfile.gettempdir()) / f"{kimi_sessions.PREFIX}{uuid.uuid4().hex[:12]}"
    link.symlink_to(precious)
    notes = (str(precious), f"{precious}\n", str(link), f"{tempfile.gettempdir()}/x/../{name}", "\0", "~", STEERING)
    for note in notes:
        (run.spool / "kimi-folder").write_text(note)
        teacher.tidy()
        assert precious.is_dir()
        assert not (run.spool / "kimi-folder").exists()
    link.unlink()


def test_a_note_of_our_own_is_followed(run: RunFolder, tmp_path: Path) -> None:
    left = Path(tempfile.gettempdir()) / f"{kimi_sessions.PREFIX}{uuid.uuid4().hex[:12]}"
    left.mkdir()
    supervisor = Supervisor(tmp_path / "mark")
    (run.spool / "kimi-folder").write_text(f"{left}\n")
    make_teacher("kimi-cli", supervisor, run=run, place=Workspace(tmp_path), settings=SETTINGS).tidy()
    assert not left.exists()


def test_a_call_that_is_not_named_for_its_folder_is_none_of_ours(tmp_path: Path) -> None:
    folders = CallFolders(tmp_path / "calls", str)

    @given(st.text() | st.sampled_from(["../../x", "/etc/passwd", "..", "", "a/b", "a\0b", "x-1", "x"]))
    @example("x")
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def read(name: str) -> None:
        folder = tmp_path / "calls" / "x"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "request.json").write_bytes(
            msgspec.json.encode(Call(call_id=name, prompt_id="p-1", query="q", instance=1))
        )
        [(found, call)] = folders.left()
        assert found == folder
        assert (call is not None) == (name == "x")

    read()


async def test_what_questions_left_leads_nowhere_else(elsewhere: Path, tmp_path: Path) -> None:
    asks = tmp_path / "artifacts" / "asks"
    asks.mkdir(parents=True)
    (asks / "99999999").symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link that leads out"):
        async with asking.asker(Workspace(tmp_path), SETTINGS, _Deaf()):
            pass
    (asks / "99999999").unlink()
    for path in asks.iterdir():
        path.rmdir()
    asks.rmdir()
    asks.symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link"):
        async with asking.asker(Workspace(tmp_path), SETTINGS, _Deaf()):
            pass


def test_runs_are_listed_whatever_lies_among_them(run: RunFolder, tmp_path: Path) -> None:
    for name in ("pipe", "link", "folder"):
        (run.path.parent / name).mkdir()
    os.mkfifo(run.path.parent / "pipe" / "events.jsonl")
    (run.path.parent / "link" / "events.jsonl").symlink_to("/dev/zero")
    (run.path.parent / "folder" / "events.jsonl").mkdir()
    assert Workspace(tmp_path).all_runs() == [run]


def test_whatever_the_umask_is_what_we_make_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        place = Workspace(tmp_path / "new")
        workspace.make_folder(place.runs / "x")
        workspace.append(place.runs / "x" / "events.jsonl", b"{}\n")
        workspace.replace(place.core_pointer, b"{}")
        _log(place.logs / "generator_1.log")
        store = SampleStore(place.artifacts / "data" / "s.jsonl")
        store.append(sample("Is it so?"), 9)
        store.reject(REJECTED)
        Claims(store.path)
        by_hand.decide(store, store.line(0), "reject", reason="no")
        workspace.replace(tmp_path / "shared", b"", mode=workspace.SHARED)
    finally:
        os.umask(before)
    made = list(place.root.rglob("*"))
    assert len(made) > 10
    open_to_others = [path for path in (place.root, *made) if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert open_to_others == []
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o666
