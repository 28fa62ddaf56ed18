"""Kimi as a teacher: one process of the installed program for each call, watched from its first line to its exit."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.dialectic import prompts
from hegelion_core.dialectic.parsing import clean
from hegelion_core.settings import GenerationSettings, Settings, TeacherName
from hegelion_core.spool import LineReader
from hegelion_core.supervisor import Child, Supervisor
from hegelion_core.teachers import kimi_output, kimi_program, kimi_sessions
from hegelion_core.teachers.faults import classify
from hegelion_core.teachers.kimi_output import Dialect
from hegelion_core.teachers.teacher import Answer, Call, TeacherFault, TeacherInfo
from hegelion_core.teachers.which_kimi import Kimi, find_kimi
from hegelion_core.workspace import RunFolder, Workspace

MAX_OUTPUT = 16 << 20
"""Bytes that a call may write to standard output; an answer has some thousands."""
_LOOK = 0.2  # seconds between looks at a quiet call; its end is noticed at once
_TAIL = 64 * 1024  # bytes of a failed call's output that are looked at


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended: ``exit.json`` in its folder, written when the process is gone."""

    dialect: Dialect
    version: str
    code: int
    seconds: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    truncated: bool = False


@dataclass(frozen=True)
class _Ready:
    """What ``start`` laid out."""

    kimi: Kimi
    root: Path
    agent: Path


class KimiTeacher:
    """``teacher.Teacher`` over Kimi Code or the legacy kimi-cli, whichever was found."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        run: RunFolder,
        workspace: Workspace,
        settings: Settings,
        dialect: TeacherName | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Unless given, ``dialect`` (the wanted program) is the settings' and ``environment`` this process's."""
        self._supervisor = supervisor
        self._run = run
        self._workspace = workspace
        self._settings = settings
        self._wanted = dialect or settings.generation.teacher
        self._own_environment = os.environ if environment is None else environment
        self._environment = kimi_program.child_environment(self._own_environment)
        self._ready: _Ready | None = None
        self._slots: set[int] = set()

    @property
    def calls_per_instance(self) -> int:
        """One: a call is a process."""
        return 1

    async def start(self) -> TeacherInfo:
        """Find the program, see that it has a login, lay out its working folders.

        Raises:
            TeacherFault: not found, archived, or certainly not logged in.
        """
        path = self._own_environment.get("PATH", os.defpath)
        kimi = await find_kimi(self._wanted, path, self._supervisor, self._environment)
        model = self._settings.teacher.model
        kimi_program.check_login(kimi.dialect, self._own_environment, model)
        self._remove_leftovers()
        self._lay_out(kimi)
        return TeacherInfo(
            name=kimi.dialect,
            version=kimi.version,
            model=model or self._own_environment.get("KIMI_MODEL_NAME", ""),
            detail=f"{kimi.path}, agent without tools",
        )

    async def ask(self, call: Call, folder: Path, log: Callable[[str], None]) -> Answer:
        """Run one process for the call and wait for its answer; see ``teacher.Teacher``."""
        if (ready := self._ready) is None:
            raise RuntimeError("start() comes first")
        argv = kimi_program.command(ready.kimi, ready.agent, self._settings.teacher.model, call)
        with self._working_folder(ready) as workdir:
            child = await self._spawn(call, argv, folder, workdir)
            started = asyncio.get_running_loop().time()
            try:
                await _watch(child, folder, self._settings.generation, log)
                code = await child.wait()
            finally:
                await child.stop()
            seconds = asyncio.get_running_loop().time() - started
            usage = kimi_sessions.usage_of(self._home(ready.kimi.dialect), ready.kimi.dialect, workdir)
        outcome = Outcome(
            dialect=ready.kimi.dialect,
            version=ready.kimi.version,
            code=code,
            seconds=round(seconds, 3),
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            truncated=usage.truncated if usage else False,
        )
        workspace.replace(folder / "exit.json", msgspec.json.encode(outcome))
        return self._judge(folder, outcome)

    def read_answer(self, folder: Path) -> Answer | None:
        """The answer in a call's folder, if its exit was recorded as good, or Kimi Code's own end mark is there."""
        outcome = _read_outcome(folder)
        lines = kimi_output.read_lines(_read(folder / "out", MAX_OUTPUT))
        text = kimi_output.answer_text(lines)
        if kimi_output.uses_tool(lines) or not text:
            return None
        whole = kimi_output.ended_well(lines)
        if outcome is None:
            return Answer(text=text, metadata={"recipe": prompts.RECIPE}) if whole else None
        if outcome.code != 0 or not (whole or outcome.dialect == "kimi-legacy"):
            return None
        return Answer(
            text=text,
            seconds=outcome.seconds,
            prompt_tokens=outcome.prompt_tokens,
            completion_tokens=outcome.completion_tokens,
            truncated=outcome.truncated,
            metadata={"recipe": prompts.RECIPE, "program": outcome.dialect, "program_version": outcome.version},
        )

    async def close(self) -> None:
        """Remove the working folders; calls end with whoever asked them."""
        if self._ready is not None:
            self._remove(self._ready.root)
            self._root_note.unlink(missing_ok=True)
            self._ready = None

    async def _spawn(self, call: Call, argv: list[str], folder: Path, workdir: Path) -> Child:
        try:
            return await self._supervisor.spawn(
                f"kimi-{call.instance}",
                argv,
                cwd=workdir,
                env=self._environment,
                stdout=folder / "out",
                stderr=folder / "err",
            )
        except OSError as error:
            raise TeacherFault("transient", f"kimi could not be started: {error.strerror}.") from None

    def _judge(self, folder: Path, outcome: Outcome) -> Answer:
        """The answer of a call that has ended, or the fault that it ended in: a tool goes first, then the exit code."""
        output = _read(folder / "out", MAX_OUTPUT)
        if kimi_output.uses_tool(kimi_output.read_lines(output)):
            raise _tool_fault()
        errors = _read(folder / "err", _TAIL)
        if outcome.code != 0:
            raise classify(outcome.dialect, outcome.code, output[-_TAIL:], errors)
        if (answer := self.read_answer(folder)) is not None:
            return answer
        said = clean(errors or output).strip()[:200] or "nothing"
        raise TeacherFault(
            "protocol", f"kimi ended without an answer; it said: {said}", "Run kimi by hand to see more."
        )

    # Working folders: <temporary root>/<unique name>-<slot>, empty, outside any repository

    def _lay_out(self, kimi: Kimi) -> None:
        root = _temporary_root()
        self._run.spool.mkdir(parents=True, exist_ok=True)
        workspace.replace(self._root_note, f"{root}\n".encode())
        self._ready = _Ready(kimi, root, kimi_program.write_agent(root, kimi.dialect))

    @contextmanager
    def _working_folder(self, ready: _Ready) -> Iterator[Path]:
        """An empty folder for one call; with it goes the session that the call leaves in Kimi's home.

        Slots are used again, since Kimi remembers each folder that it ever ran in.
        """
        slot = next(number for number in range(1, len(self._slots) + 2) if number not in self._slots)
        self._slots.add(slot)
        workdir = ready.root / f"{ready.root.name}-{slot}"
        try:
            shutil.rmtree(workdir, ignore_errors=True)
            workdir.mkdir(mode=0o700)
            yield workdir
        finally:
            kimi_sessions.remove(self._home(ready.kimi.dialect), ready.kimi.dialect, workdir)
            shutil.rmtree(workdir, ignore_errors=True)
            self._slots.discard(slot)

    def _home(self, dialect: Dialect) -> Path:
        return kimi_program.home(dialect, self._own_environment)

    @property
    def _root_note(self) -> Path:
        """Says where the working folders are, for the next core to tidy up after one that was killed."""
        return self._run.spool / "kimi-folder"

    def _remove_leftovers(self) -> None:
        note = _read(self._root_note, 4096).strip()
        root = Path(note)
        if note and root.name.startswith(kimi_sessions.PREFIX) and root.is_dir() and root.stat().st_uid == os.getuid():
            self._remove(root)

    def _remove(self, root: Path) -> None:
        for workdir in root.glob(f"{root.name}-*"):
            for dialect in ("kimi-code", "kimi-legacy"):
                kimi_sessions.remove(self._home(dialect), dialect, workdir)
        shutil.rmtree(root, ignore_errors=True)


async def _watch(child: Child, folder: Path, limits: GenerationSettings, log: Callable[[str], None]) -> None:
    """Follow a call until its process ends.

    Raises:
        TeacherFault: a watchdog, the tripwire, or output without end; the process then still runs.
    """
    clock = asyncio.get_running_loop().time
    out, err = LineReader(folder / "out"), LineReader(folder / "err")
    started = last = clock()
    spoke = False
    ended = asyncio.ensure_future(child.wait())
    try:
        while True:
            done = ended.done()
            if _hand_on(out, err, log):
                spoke, last = True, clock()
            if done:
                break
            _check_limits(limits, now=clock(), started=started, last=last, spoke=spoke)
            await asyncio.wait([ended], timeout=_LOOK)
    finally:
        ended.cancel()


def _hand_on(out: LineReader, err: LineReader, log: Callable[[str], None]) -> bool:
    """Log what is new; returns whether there was anything.

    Raises:
        TeacherFault: a tool, or output without end.
    """
    before = out.offset + err.offset
    while lines := out.read():
        for line in lines:
            _log_line(line, log)
        if out.offset > MAX_OUTPUT:
            raise TeacherFault("protocol", f"kimi wrote more than {MAX_OUTPUT >> 20} MiB and was stopped.")
    for line in err.read():
        if said := clean(line).strip():
            log(said)
    return out.offset + err.offset > before


def _log_line(line: str, log: Callable[[str], None]) -> None:
    found = kimi_output.read_line(line)
    if found.kind == "tool":
        log("tool use: the call is stopped")
        raise _tool_fault()
    if found.kind == "retry":
        log(f"kimi tries again by itself in {found.delay or 0:.0f} s: {clean(found.text)}")
    elif found.kind in ("text", "other"):
        for part in clean(found.text).split("\n"):
            if part.strip():
                log(part)


def _check_limits(limits: GenerationSettings, *, now: float, started: float, last: float, spoke: bool) -> None:
    """The three watchdogs.

    Raises:
        TeacherFault: one of them barks.
    """
    if now - started > limits.total_timeout:
        raise TeacherFault("timeout", f"No end after {limits.total_timeout:.0f} s (generation.total_timeout).")
    if not spoke and now - started > limits.first_line_timeout:
        raise TeacherFault("timeout", f"No line in {limits.first_line_timeout:.0f} s (generation.first_line_timeout).")
    if now - last > limits.silence_timeout:
        raise TeacherFault("timeout", f"Silent for {limits.silence_timeout:.0f} s (generation.silence_timeout).")


def _tool_fault() -> TeacherFault:
    return TeacherFault(
        "tool_use",
        "The agent tried to use a tool, though it has none; the call was stopped.",
        "The prompt is set aside. Look at its text: it may try to give orders.",
    )


def _temporary_root() -> Path:
    """A new folder of ours outside any git repository, whose agent files and notes Kimi would read."""
    for place in dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))):  # noqa: S108 - mkdtemp
        resolved = place.resolve()
        if resolved.is_dir() and not any((above / ".git").exists() for above in (resolved, *resolved.parents)):
            return Path(tempfile.mkdtemp(prefix=kimi_sessions.PREFIX, dir=resolved))
    raise TeacherFault("protocol", "Every folder for temporary files lies in a git repository.", "Set TMPDIR.")


def _read_outcome(folder: Path) -> Outcome | None:
    try:
        return msgspec.json.decode((folder / "exit.json").read_bytes(), type=Outcome)
    except (OSError, msgspec.DecodeError):
        return None


def _read(path: Path, limit: int) -> str:
    """The text of a file, of a longer one its first ``limit`` bytes; empty where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
