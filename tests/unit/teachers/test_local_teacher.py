"""The core's side of the local teacher, against a small process that speaks the same files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from hegelion_core import guard
from hegelion_core.dialectic import turns
from hegelion_core.settings import Settings
from hegelion_core.spool import follow
from hegelion_core.supervisor import Supervisor
from hegelion_core.teachers.local import LocalTeacher
from hegelion_core.teachers.teacher import REQUEST, Call, Teacher, TeacherFault
from hegelion_core.workspace import RunFolder, Workspace

FAKE_ENGINE = """
import json, os, sys, time
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
calls = Path(job["arguments"]["calls"])
def report(**event):
    with open(job["reports"], "a") as file:
        file.write(json.dumps(event) + "\\n")
if job["settings"]["teacher"]["model"] == "broken":
    report(event="WorkerFailed", message="broken: no such model", hint="Choose another.", exit_code=2)
    sys.exit(2)
if job["settings"]["teacher"]["model"] == "dies":
    os._exit(9)
report(event="TeacherReady", teacher="local", version="fake")
cancelled = set()
while True:
    for folder in calls.iterdir():
        request, out = folder / "request.json", folder / "out"
        if folder in cancelled or (out.exists() and folder.name != "slow"):
            continue
        if not request.exists():
            if out.exists():
                (folder / "dropped").write_text("yes\\n")
                cancelled.add(folder)
            continue
        query = json.loads(request.read_text())["query"]
        if query == "die":
            os._exit(3)
        if out.exists():
            continue
        with open(out, "w") as file:
            file.write(json.dumps({"turn": "thesis", "text": "a thesis", "tokens": 3}) + "\\n")
            file.flush()
            if query != "slow":
                done = {"done": True, "text": "whole " + "x" * int(job["arguments"]["max_new_tokens"]) * 300,
                        "prompt_tokens": 5, "completion_tokens": 7, "truncated": False}
                file.write(json.dumps(done) + "\\n")
    time.sleep(0.01)
"""


class House:
    """A local teacher on a fake engine."""

    def __init__(self, root: Path, model: str | None = None) -> None:
        (root / "fake_engine_of_test.py").write_text(FAKE_ENGINE)
        self.place = Workspace(root)
        self.run = RunFolder(root / "run")
        self.run.spool.mkdir(parents=True)
        settings = Settings.model_validate({"teacher": {"model": model}})
        self.supervisor = Supervisor(root / "mark")
        self.teacher = LocalTeacher(
            self.supervisor, run=self.run, workspace=self.place, settings=settings, module="fake_engine_of_test"
        )
        self.lines: list[str] = []

    def folder(self, call_id: str) -> Path:
        path = self.run.calls / call_id
        path.mkdir(parents=True, exist_ok=True)
        return path

    def ask(self, query: str) -> asyncio.Task[str]:
        call = Call(call_id=query, prompt_id="p", query=query, instance=1)

        (self.folder(query) / REQUEST).write_bytes(msgspec.json.encode(call))

        async def text() -> str:
            answer = await self.teacher.ask(call, self.folder(query), self.lines.append)
            assert answer.mode == "turns"
            assert (answer.prompt_tokens, answer.completion_tokens, answer.truncated) == (5, 7, False)
            return answer.text

        return asyncio.ensure_future(text())


async def first_line(path: Path) -> None:
    """Wait until a line is in the file."""
    async for _ in follow(path, lambda: False):
        return


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    await made.teacher.close()
    await made.supervisor.close()


async def test_an_answer_and_its_turns_come_through(house: House) -> None:
    teacher: Teacher = house.teacher
    info = await teacher.start()
    assert (info.name, info.version) == ("local", "fake")
    text = await house.ask("one")
    assert text.startswith("whole ")
    assert len(text) > 64 * 1024  # longer than a followed line may be
    assert house.lines == ["thesis: a thesis"]
    found = teacher.read_answer(house.folder("one"))
    assert found is not None
    assert found.text == text


async def test_several_calls_share_one_engine(house: House) -> None:
    texts = await asyncio.gather(*(house.ask(f"call {i}") for i in range(4)))
    assert len(texts) == 4
    assert len(list((house.run.spool).glob("*.job.json"))) == 1
    assert len(guard.marked((house.place.root / "mark").read_text())) == 1


async def test_a_dead_engine_is_transient_and_started_again(house: House) -> None:
    with pytest.raises(TeacherFault) as caught:
        await house.ask("die")
    assert caught.value.kind == "transient"
    assert not (house.folder("die") / REQUEST).exists()
    assert (await house.ask("after")).startswith("whole ")


async def test_cancelling_removes_the_request(house: House) -> None:
    await house.teacher.start()
    task = house.ask("slow")
    await first_line(house.folder("slow") / "out")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (house.folder("slow") / REQUEST).exists()
    await first_line(house.folder("slow") / "dropped")
    assert house.teacher.read_answer(house.folder("slow")) is None


@pytest.mark.parametrize(("model", "message"), [("broken", "no such model"), ("dies", "code 9")])
async def test_a_start_that_fails_says_why(tmp_path: Path, model: str, message: str) -> None:
    house = House(tmp_path, model)
    with pytest.raises(TeacherFault, match=message):
        await house.teacher.start()
    await house.supervisor.close()


def test_a_torn_last_line_is_no_answer(tmp_path: Path) -> None:
    teacher = House(tmp_path).teacher
    folder = tmp_path / "call"
    folder.mkdir()
    assert teacher.read_answer(folder) is None
    turn, done = {"turn": "thesis", "text": "t", "tokens": 1}, {"done": True, "text": "whole"}
    (folder / "out").write_text(f"{json.dumps(turn)}\n{json.dumps(done)[:-4]}")
    assert teacher.read_answer(folder) is None
    (folder / "out").write_text(f"{json.dumps(turn)}\n{json.dumps(done)}\n")
    assert (answer := teacher.read_answer(folder)) is not None
    assert answer.text == "whole"


@pytest.mark.parametrize("whole", [True, False])
async def test_a_prompt_that_is_not_shown_whole_is_said(house: House, whole: bool) -> None:
    query = "Should towns ban cars? " * (1 if whole else 200)
    call = Call(call_id="c1", prompt_id="p", query=query, instance=1)
    (house.folder("c1") / REQUEST).write_bytes(msgspec.json.encode(call))
    answer = await house.teacher.ask(call, house.folder("c1"), house.lines.append)
    assert answer.metadata.get("prompt_characters_shown") == (None if whole else turns.MAX_QUERY_CHARS)
    assert any("shown its beginning and its end" in line for line in house.lines) is not whole
