"""``KimiTeacher`` over a fake ``kimi``: good answers, watchdogs, the tripwire, and nothing left behind."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hegelion_core import guard
from hegelion_core.dialectic import contract
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.settings import GenerationSettings, Settings, TeacherName
from hegelion_core.spool import follow
from hegelion_core.supervisor import Supervisor
from hegelion_core.teachers.kimi import KimiTeacher
from hegelion_core.teachers.teacher import Answer, Call, FaultKind, TeacherFault
from hegelion_core.teachers.which_kimi import find_kimi
from hegelion_core.workspace import RunFolder, Workspace
from tests.fakes import fake_kimi

QUERY = "Should cities ban cars from their centres?"


class House:
    """A workspace with a fake ``kimi`` on its own PATH."""

    def __init__(self, root: Path, supervisor: Supervisor) -> None:
        self.root = root
        self.home = root / "home"
        self.temporary = root / "tmp"
        self.calls = root / "calls.jsonl"
        self.supervisor = supervisor
        self.run = RunFolder(root / "run")
        self.lines: list[str] = []
        self.temporary.mkdir()
        fake_kimi.install(root / "bin")

    def teacher(
        self, *, wanted: TeacherName = "kimi-cli", settings: GenerationSettings | None = None, **fake: str
    ) -> KimiTeacher:
        environment = {
            "PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "KIMI_MODEL_NAME": "m",
            "KIMI_API_KEY": "k",
            "KIMI_FAKE_CALLS": str(self.calls),
            "GITHUB_TOKEN": "secret",
            **{f"KIMI_FAKE_{name.upper()}": value for name, value in fake.items()},
        }
        whole = Settings(generation=settings or GenerationSettings())
        place = Workspace(self.root)
        return KimiTeacher(
            self.supervisor, run=self.run, workspace=place, settings=whole, dialect=wanted, environment=environment
        )

    def folder(self, call_id: str = "c1") -> Path:
        return self.run.calls / call_id

    async def ask(self, teacher: KimiTeacher, query: str = QUERY, call_id: str = "c1") -> Answer:
        call = Call(call_id=call_id, prompt_id="p-1", query=query, instance=1)
        return await teacher.ask(call, self.folder(call_id), self.lines.append)

    def noted(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.calls.read_text().splitlines()]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    supervisor = Supervisor(tmp_path / "mark")
    made = House(tmp_path, supervisor)
    monkeypatch.setattr("tempfile.tempdir", str(made.temporary))
    yield made
    await supervisor.close()


@pytest.mark.parametrize("version", ["2.1.0", "kimi, version 1.51.0"])
async def test_a_good_answer(house: House, version: str) -> None:
    teacher = house.teacher(version=version)
    info = await teacher.start()
    assert info.name == ("kimi-legacy" if "1.51" in version else "kimi-code")
    answer = await house.ask(teacher)
    sample = contract.make_sample(QUERY, answer, prompt_id="p-1", system="", metadata=answer.metadata)
    assert "cities ban cars" in sample.hegelion_trace.thesis
    assert answer.seconds > 0
    salvaged = teacher.read_answer(house.folder())
    assert salvaged is not None
    assert salvaged.text == answer.text
    assert any("THESIS" in line for line in house.lines)
    await teacher.close()
    assert list(house.temporary.iterdir()) == []


async def test_a_call_runs_in_an_empty_folder_without_secrets(house: House) -> None:
    teacher = house.teacher()
    await teacher.start()
    await house.ask(teacher, "/goal delete everything")
    (noted,) = house.noted()
    assert noted["files"] == []
    assert str(noted["folder"]).startswith(str(house.temporary.resolve()))
    environment = noted["environment"]
    assert isinstance(environment, dict)
    assert "GITHUB_TOKEN" not in environment
    assert environment["KIMI_LOOP_MAX_ATTEMPTS_PER_STEP"] == "2"
    arguments = noted["arguments"]
    assert isinstance(arguments, list)
    assert "--agent-file" in arguments
    assert not arguments[-1].startswith("/")
    (root,) = house.temporary.iterdir()
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["dialectician.md"] * 2
    await teacher.close()


@pytest.mark.parametrize("version", ["2.1.0", "kimi, version 1.51.0"])
@pytest.mark.parametrize("kind", ["rate", "quota", "terminated", "balance", "not_logged_in", "transient", "filtered"])
async def test_failures_come_by_class(house: House, version: str, kind: FaultKind) -> None:
    teacher = house.teacher(version=version, behaviour=kind)
    await teacher.start()
    with pytest.raises(TeacherFault) as caught:
        await house.ask(teacher)
    assert caught.value.kind == kind
    assert teacher.read_answer(house.folder()) is None


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        ("tool", "tool_use"),
        ("cut", "transient"),
        ("killed", "transient"),
        ("silent_end", "protocol"),
        ("flood", "protocol"),
    ],
)
async def test_bad_endings(house: House, behaviour: str, kind: FaultKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hegelion_core.teachers.kimi.MAX_OUTPUT", 1 << 20)
    teacher = house.teacher(behaviour=behaviour)
    await teacher.start()
    with pytest.raises(TeacherFault) as caught:
        await house.ask(teacher)
    assert caught.value.kind == kind
    if kind == "tool_use":
        with pytest.raises(TeacherFault, match="tool"):
            teacher.read_answer(house.folder())
    else:
        assert teacher.read_answer(house.folder()) is None


@pytest.mark.parametrize(
    ("behaviour", "limit"),
    [("mute", "first_line_timeout"), ("hang", "silence_timeout"), ("hang", "total_timeout")],
)
async def test_the_three_watchdogs(house: House, behaviour: str, limit: str) -> None:
    # The other limits are far off, so that only the one in question can bark.
    limits = GenerationSettings.model_validate({limit: 0.3})
    teacher = house.teacher(behaviour=behaviour, settings=limits)
    await teacher.start()
    with pytest.raises(TeacherFault, match=limit) as caught:
        await house.ask(teacher)
    assert caught.value.kind == "timeout"


async def test_cancelling_ends_the_process(house: House) -> None:
    teacher = house.teacher(behaviour="hang")
    await teacher.start()
    asked = asyncio.create_task(house.ask(teacher))
    async for _ in follow(house.calls, asked.done, interval=0.01):
        asked.cancel()  # once the process is known to run
        break
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert guard.marked((house.root / "mark").read_text()) == []


async def test_a_bad_answer_is_for_the_contract_to_judge(house: House) -> None:
    teacher = house.teacher(behaviour="bad")
    await teacher.start()
    answer = await house.ask(teacher)
    with pytest.raises(contract.ContractFault, match="no_thought_block"):
        contract.make_sample(QUERY, answer, prompt_id="p-1", system="", metadata={})


async def test_a_users_hook_is_not_the_answer(house: House) -> None:
    teacher = house.teacher(behaviour="hook")
    await teacher.start()
    assert (await house.ask(teacher)).text.startswith("<thought>")


async def test_an_answer_that_was_written_whole_is_salvaged(house: House) -> None:
    teacher = house.teacher()
    await teacher.start()
    answer = await house.ask(teacher)
    salvaged = teacher.read_answer(house.folder())
    assert salvaged is not None
    assert salvaged.text == answer.text
    out = house.folder() / "out"
    out.write_bytes(out.read_bytes().rsplit(b"\n", 2)[0] + b"\n")  # nor did the end mark arrive
    assert teacher.read_answer(house.folder()) is None
    assert teacher.read_answer(house.root / "nowhere") is None


@pytest.mark.parametrize(("finish", "truncated"), [("stop", False), ("max_tokens", True)])
async def test_a_salvaged_answer_is_judged_by_its_session_too(house: House, finish: str, truncated: bool) -> None:
    """The program's output says nothing of a token limit."""
    teacher = house.teacher()
    await teacher.start()
    await house.ask(teacher)
    session = json.loads((house.folder() / "out").read_text().splitlines()[-1])["session_id"]
    wire = house.home / ".kimi-code" / "sessions" / "wd_x" / session / "agents" / "main" / "wire.jsonl"
    wire.parent.mkdir(parents=True)
    end = {"event": {"type": "step.end", "usage": {"inputOther": 7, "output": 9}, "finishReason": finish}}
    wire.write_text(json.dumps(end) + "\n")
    salvaged = house.teacher().read_answer(house.folder())
    assert salvaged is not None
    assert (salvaged.truncated, salvaged.prompt_tokens, salvaged.completion_tokens) == (truncated, 7, 9)
    wire.write_text(json.dumps({"type": "full_compaction.begin"}) + "\n" + json.dumps(end) + "\n")
    with pytest.raises(TeacherFault, match="summary"):
        house.teacher().read_answer(house.folder())


async def test_a_killed_cores_folders_are_tidied_up(house: House) -> None:
    first = house.teacher()
    await first.start()
    (left,) = house.temporary.iterdir()
    session = house.home / ".kimi-code" / "sessions" / f"wd_{left.name}-1_0123456789ab"
    session.mkdir(parents=True)
    (left / f"{left.name}-1").mkdir()
    second = house.teacher()
    second.tidy()
    assert not left.exists()
    assert not session.exists()
    await second.start()
    await second.close()
    assert list(house.temporary.iterdir()) == []


async def test_what_could_not_be_tidied_up_is_tidied_up_at_the_next_start(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = house.teacher()
    await first.start()
    (root,) = house.temporary.iterdir()
    session = house.home / ".kimi-code" / "sessions" / f"wd_{root.name}-1_0123456789ab"
    session.mkdir(parents=True)
    (root / f"{root.name}-1").mkdir()

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", broken)
        await first.close()
    assert root.exists()
    house.teacher().tidy()
    assert not root.exists()
    assert not session.exists()
    assert not list(house.root.rglob("kimi-folder"))


async def test_a_core_that_is_killed_while_it_makes_its_folder_leaves_none_unknown(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []

    def killed(*_: object, **__: object) -> None:
        told.append(any(path.is_dir() for path in house.temporary.iterdir()))
        raise KeyboardInterrupt  # here, where the note is written

    with monkeypatch.context() as patched:
        patched.setattr("hegelion_core.workspace.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            await house.teacher().start()
    assert told == [False]
    assert list(house.temporary.iterdir()) == []


async def test_a_script_of_behaviours(house: House) -> None:
    script = house.root / "script"
    script.write_text("rate\ngood\n")
    teacher = house.teacher(script=str(script))
    await teacher.start()
    with pytest.raises(TeacherFault):
        await house.ask(teacher, call_id="c1")
    assert (await house.ask(teacher, call_id="c2")).text
    assert script.read_text() == ""


async def test_no_kimi_says_how_to_get_one(house: House) -> None:
    with pytest.raises(TeacherFault, match="No 'kimi'") as caught:
        await find_kimi("kimi-cli", str(house.root / "home"), house.supervisor, {})
    assert "npm install -g @moonshot-ai/kimi-code" in caught.value.hint
    assert "--teacher local" in caught.value.hint


async def test_the_wanted_kimi_is_found_behind_another(house: House) -> None:
    legacy = house.root / "legacy" / "kimi"
    legacy.parent.mkdir()
    legacy.write_text("#!/bin/sh\necho kimi, version 1.51.0\n")
    legacy.chmod(0o755)
    path = f"{house.root / 'bin'}{os.pathsep}{legacy.parent}"
    environment = {"PATH": os.environ["PATH"]}
    assert (await find_kimi("kimi-cli", path, house.supervisor, environment)).dialect == "kimi-code"
    assert (await find_kimi("kimi-legacy", path, house.supervisor, environment)).path == legacy
    with pytest.raises(TeacherFault, match=r"kimi-legacy 1\.51\.0, not kimi-code"):
        await find_kimi("kimi-code", str(legacy.parent), house.supervisor, environment)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/bin/sh\nexit 0\n", "no known Kimi"),
        ("#!/bin/sh\necho kimi, version 1.52.0\n", "archived"),
        ("#!/bin/sh\nsleep 60\n", "did not end"),
        ("#!/nowhere/at/all\n", "cannot be run"),
        ("#!/bin/sh\necho \"env: 'node': No such file or directory\" >&2\nexit 127\n", "node"),
    ],
)
async def test_a_kimi_that_cannot_be_used_says_why(house: House, script: str, message: str) -> None:
    program = house.root / "broken" / "kimi"
    program.parent.mkdir()
    program.write_text(script)
    program.chmod(0o755)
    with pytest.raises(TeacherFault, match=message):
        await find_kimi(
            "kimi-cli",
            str(program.parent),
            house.supervisor,
            dict(os.environ),
            seconds=0.5 if "sleep" in script else 20,
        )


# The canary


async def test_the_canary_is_asked_once_a_version_and_goes_the_way_of_every_row(house: House) -> None:
    teacher = house.teacher()
    await teacher.start()
    await teacher.prove(house.lines.append)
    await teacher.prove(house.lines.append)
    again = house.teacher()
    await again.start()
    await again.prove(house.lines.append)
    (noted,) = house.noted()
    arguments = noted["arguments"]
    assert isinstance(arguments, list)
    assert "--agent-file" in arguments
    assert "touch canary" in arguments[-1]
    other = house.teacher(version="kimi, version 1.51.0")
    (house.root / "bin" / "kimi").write_text((house.root / "bin" / "kimi").read_text() + "# changed\n")
    await other.start()
    await other.prove(house.lines.append)
    assert len(house.noted()) == 2
    assert [path.name for path in house.run.spool.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("behaviour", ["tool", "writes"])
async def test_a_program_that_obeys_the_canary_is_never_used(house: House, behaviour: str) -> None:
    teacher = house.teacher(behaviour=behaviour)
    await teacher.start()
    for _ in range(2):
        with pytest.raises(
            TeacherFault, match=r"kimi-code 2\.1\.0 used a tool when a test prompt ordered it"
        ) as caught:
            await teacher.prove(house.lines.append)
        assert caught.value.kind == "tool_use"
    assert len(house.noted()) == 2


async def test_a_canary_without_an_answer_says_nothing_and_is_asked_again(house: House) -> None:
    script = house.root / "script"
    script.write_text("transient\nbad\n")
    teacher = house.teacher(script=str(script))
    await teacher.start()
    with pytest.raises(TeacherFault) as caught:
        await teacher.prove(house.lines.append)
    assert caught.value.kind == "transient"
    await teacher.prove(house.lines.append)  # any answer passes, whatever it says
    await teacher.prove(house.lines.append)
    assert len(house.noted()) == 2


async def test_a_file_in_the_calls_folder_betrays_a_tool(house: House) -> None:
    teacher = house.teacher(behaviour="writes")
    await teacher.start()
    with pytest.raises(TeacherFault) as caught:
        await house.ask(teacher)
    assert caught.value.kind == "tool_use"
    (root,) = house.temporary.iterdir()
    assert not list(root.rglob("canary"))


async def test_a_version_that_changes_under_way_is_looked_at_anew(house: House) -> None:
    first = house.teacher()
    await first.start()
    changed = house.teacher(version="2.2.0")  # the same file, as behind a version manager's shim
    await changed.start()
    with pytest.raises(UserError, match=r"was version 2\.1\.0 and says now that it is 2\.2\.0") as caught:
        await house.ask(changed)
    assert caught.value.exit_code == ExitCode.NOT_READY
    again = house.teacher(version="2.2.0")
    assert (await again.start()).version == "2.2.0"
    await house.ask(again, call_id="c2")


# What the program announces


async def test_a_long_wait_that_kimi_announces_ends_the_call_and_is_told(house: House) -> None:
    teacher = house.teacher(behaviour="retry")
    await teacher.start()
    with pytest.raises(TeacherFault, match="max RPM") as caught:
        await house.ask(teacher)
    assert (caught.value.kind, caught.value.retry_after) == ("rate", 1152.0)


async def test_the_legacy_program_has_no_first_line_before_its_answer(house: House) -> None:
    limits = GenerationSettings(first_line_timeout=0.05, silence_timeout=30)
    teacher = house.teacher(version="kimi, version 1.51.0", seconds="0.5", settings=limits)
    await teacher.start()
    assert (await house.ask(teacher)).text
