"""An answer never holds the user's own credentials, and stays as it is otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core.redaction import Redactor
from hegelion_core.settings import Settings
from hegelion_core.supervisor import Supervisor
from hegelion_core.teachers.choose import make_teacher
from hegelion_core.teachers.discreet import Discreet
from hegelion_core.teachers.teacher import Answer, Call, Teacher
from hegelion_core.workspace import RunFolder, Workspace
from tests.unit.teachers.echo import Echo

OWN = "swordfish-4711"
CALL = Call(call_id="1", prompt_id="p-1", query="", instance=1)


async def test_an_answer_is_without_what_is_known(tmp_path: Path) -> None:
    said = f"A key looks like sk-abcdefghijklmnop1234; {OWN} is one."
    teacher: Teacher = Discreet(Echo(said), Redactor({"A_KEY": OWN}))

    expected = Answer(
        text="A key looks like sk-abcdefghijklmnop1234; [redacted] is one.",
        metadata={"model": "of [redacted]", "score": 7.5},
    )
    assert await teacher.ask(CALL, tmp_path, print) == expected
    assert teacher.read_answer(tmp_path) == expected
    assert teacher.read_growing(tmp_path) == expected.text


def test_a_credential_is_not_seen_while_it_grows(tmp_path: Path) -> None:
    said = f"It is {OWN} and that is all."
    redact = Redactor({"A_KEY": OWN})
    shown = [Discreet(Echo(said[:length]), redact).read_growing(tmp_path) for length in range(1, len(said))]
    assert not [text for text in shown if "sword" in text]
    assert shown[-1].startswith("It is [redacted] and that")


@pytest.mark.parametrize("name", ["kimi-cli", "openai", "local"])
def test_every_teacher_is_discreet(name: str, tmp_path: Path) -> None:
    settings = Settings.model_validate({"generation": {"teacher": name}})
    supervisor = Supervisor(tmp_path / "mark")
    made = make_teacher(
        settings.generation.teacher,
        supervisor,
        run=RunFolder(tmp_path),
        place=Workspace(tmp_path),
        settings=settings,
    )
    assert isinstance(made, Discreet)
