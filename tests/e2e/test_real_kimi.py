"""The real Kimi programs, through ``KimiTeacher``, against a loopback model server. ``make test`` installs them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hegelion_core.dialectic import contract
from hegelion_core.dialectic.prompts import TEACHER_SYSTEM
from hegelion_core.settings import Settings, TeacherName
from hegelion_core.supervisor import Supervisor
from hegelion_core.teachers.kimi import KimiTeacher
from hegelion_core.teachers.teacher import Answer, Call, TeacherFault
from hegelion_core.workspace import RunFolder, Workspace
from tests import install_kimi
from tests.fakes import model_server
from tests.fakes.model_server import Cut, Failure, ModelServer, Reply, ToolCall

QUERY = "Should cities ban cars from their centres?"


@dataclass(frozen=True)
class Real:
    """A real program, ready to be asked."""

    name: TeacherName
    teacher: KimiTeacher
    server: ModelServer
    home: Path
    calls: Path
    lines: list[str]

    async def ask(self, call_id: str = "c1") -> Answer:
        call = Call(call_id=call_id, prompt_id="p-1", query=QUERY, instance=1)
        return await self.teacher.ask(call, self.calls / call_id, self.lines.append)

    def sessions(self) -> list[str]:
        """What is left of sessions in Kimi's home."""
        folder = self.home / (".kimi-code" if self.name == "kimi-code" else ".kimi") / "sessions"
        return [str(path) for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


def program_folders(name: TeacherName) -> list[Path]:
    if name == "kimi-code":
        return [install_kimi.CODE_BIN, install_kimi.node_bin()]
    if not (install_kimi.LEGACY_BIN / "kimi").exists():
        pytest.skip(install_kimi.NO_PYTHON)
    return [install_kimi.LEGACY_BIN]


@pytest.fixture(params=["kimi-code", "kimi-legacy"])
async def real(request: pytest.FixtureRequest, tmp_path: Path, server: ModelServer) -> AsyncIterator[Real]:
    name: TeacherName = request.param
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": os.pathsep.join([*map(str, program_folders(name)), os.environ["PATH"]]),
        "HOME": str(home),
        "KIMI_MODEL_NAME": "test-model",
        # Kimi Code's names for a model of one launch, then the legacy program's.
        "KIMI_MODEL_API_KEY": "sk-test",
        "KIMI_MODEL_BASE_URL": server.url,
        "KIMI_MODEL_PROVIDER_TYPE": "openai",
        "KIMI_API_KEY": "sk-test",
        "KIMI_BASE_URL": server.url,
    }
    supervisor = Supervisor(tmp_path / "mark")
    run = RunFolder(tmp_path / "run")
    teacher = KimiTeacher(
        supervisor, run=run, workspace=Workspace(tmp_path), settings=Settings(), dialect=name, environment=environment
    )
    info = await teacher.start()
    assert info.name == name
    yield Real(name, teacher, server, home, run.calls, [])
    await teacher.close()
    await supervisor.close()


async def test_a_good_sample(real: Real) -> None:
    answer = await real.ask()
    sample = contract.make_sample(QUERY, answer, prompt_id="p-1", system="", metadata=answer.metadata)
    assert "cities ban cars" in sample.hegelion_trace.thesis
    assert answer.completion_tokens
    salvaged = real.teacher.read_answer(real.calls / "c1")
    assert salvaged is not None
    assert salvaged.text == answer.text
    (asked,) = real.server.requests
    assert asked.tools == []
    assert asked.system_text.strip() == TEACHER_SYSTEM
    assert asked.size < len(TEACHER_SYSTEM.encode()) + len(QUERY) + 1500
    assert real.sessions() == []


async def test_a_tool_call_does_not_run(real: Real, tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    for tool in ("Bash", "Shell"):
        real.server.script.append(ToolCall(tool, {"command": f"touch {mark}"}))
    with pytest.raises(TeacherFault) as caught:
        await real.ask()
    assert caught.value.kind == "tool_use"
    assert not mark.exists()
    with pytest.raises(TeacherFault, match="tool"):
        real.teacher.read_answer(real.calls / "c1")
    assert real.sessions() == []


async def test_the_canary_fails_by_a_tool_call_and_passes_by_any_answer(real: Real, tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    for tool in ("Bash", "Shell"):
        real.server.script.append(ToolCall(tool, {"command": f"touch {mark}"}))
    with pytest.raises(TeacherFault, match="used a tool when a test prompt ordered it"):
        await real.teacher.prove(real.lines.append)
    assert not mark.exists()
    asked = len(real.server.requests)
    real.server.script.clear()
    real.server.script.append(Reply("I have no tools."))
    await real.teacher.prove(real.lines.append)
    await real.teacher.prove(real.lines.append)
    assert len(real.server.requests) == asked + 1
    assert "touch canary" in real.server.requests[-1].user_text
    assert real.sessions() == []


async def test_a_quota_is_told_from_other_refusals(real: Real) -> None:
    real.server.script.append(Failure(403, model_server.QUOTA))
    with pytest.raises(TeacherFault) as caught:
        await real.ask()
    assert (caught.value.kind, caught.value.retry_after) == ("quota", 3 * 3600)
    assert real.sessions() == []


async def test_cut_answers_are_caught(real: Real) -> None:
    # Both ask again by themselves. Kimi Code then reports a broken stream; the legacy program glues the parts together.
    real.server.script.extend([Cut()] * 3)
    with pytest.raises((TeacherFault, contract.ContractFault)):
        contract.make_sample(QUERY, await real.ask(), prompt_id="p-1", system="", metadata={})
    real.server.script.clear()
    # A token limit goes unmentioned by both programs' output.
    real.server.script.append(Reply("<thought>\n**THESIS**: Cities should", finish="length"))
    with pytest.raises(contract.ContractFault):
        contract.make_sample(QUERY, await real.ask("c2"), prompt_id="p-1", system="", metadata={})
