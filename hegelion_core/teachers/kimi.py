"""Kimi as a teacher: one process of the installed program for each call, watched from its first line to its exit."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from hegelion_core import workspace
from hegelion_core.dialectic import prompts, steps
from hegelion_core.dialectic.parsing import clean
from hegelion_core.dialectic.steps import Step
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.settings import GenerationSettings, Settings, TeacherName
from hegelion_core.spool import LineReader
from hegelion_core.supervisor import Child, Supervisor
from hegelion_core.teachers import canary, kimi_output, kimi_program, kimi_sessions, watchdogs
from hegelion_core.teachers.faults import classify, classify_retry
from hegelion_core.teachers.kimi_output import Dialect, OutputLine
from hegelion_core.teachers.kimi_sessions import Usage
from hegelion_core.teachers.known_programs import KnownPrograms
from hegelion_core.teachers.teacher import ERR, OUT, Answer, Call, TeacherFault, TeacherInfo
from hegelion_core.teachers.which_kimi import Kimi, find_kimi
from hegelion_core.workspace import RunFolder, Workspace

MAX_OUTPUT = 16 << 20
"""Bytes that a call may write to standard output; an answer has some thousands."""
MAX_FILE = 256 << 20
"""Bytes of any file that a call may write: the last resort against one that floods, where a system has such limits."""
_LOOK = 1.0  # seconds between looks at a quiet call; its end is noticed at once
_TAIL = 64 * 1024  # bytes of a failed call's output that are looked at
LONG_RETRY = 2.0
"""Seconds of a wait that Kimi Code announces: from here on it is the provider's word, and concerns all instances."""


@dataclass(frozen=True)
class _Ready:
    """What ``start`` laid out."""

    kimi: Kimi
    root: Path
    agents: Mapping[bool, Path]
    """The agent for one reply that holds all, and (``True``) the one for a step of a dialogue."""
    limits: GenerationSettings
    home: Path


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
        self._environment = kimi_program.child_environment(self._own_environment, settings.teacher)
        self._known = KnownPrograms(workspace.artifacts / "teachers.json")
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
        kimi = await find_kimi(self._wanted, path, self._supervisor, self._environment, known=self._known)
        model = self._settings.teacher.model
        kimi_program.check_login(kimi.dialect, self._own_environment, model)
        self._lay_out(kimi)
        return TeacherInfo(
            name=kimi.dialect,
            version=kimi.version,
            model=model or self._own_environment.get("KIMI_MODEL_NAME", ""),
            detail=f"{kimi.path}, agent without tools",
        )

    def tidy(self) -> None:
        """Remove the working folders and sessions of a core that was killed; see ``teacher.Teacher``."""
        note = _read(self._root_note, 4096).strip()
        root = Path(note)
        if note and root.name.startswith(kimi_sessions.PREFIX) and root.is_dir() and root.stat().st_uid == os.getuid():
            self._remove(root)
        else:
            self._root_note.unlink(missing_ok=True)

    async def prove(self, log: Callable[[str], None], *, step: bool = False) -> None:
        """The canary, unless this version has passed it; see ``teacher.Teacher``."""
        kimi = self._laid_out.kimi
        if self._known.is_proved(canary.name(kimi, step=step)):
            return
        log(f"asks {kimi.dialect} {kimi.version} to use a tool, which it must not (once a version)")
        call = canary.call(step=step)
        folder = self._run.spool / call.call_id
        folder.mkdir(parents=True)
        try:
            await self.ask(call, folder, log)
        except TeacherFault as fault:
            raise canary.obeyed(kimi) if fault.kind == "tool_use" else fault from None
        finally:
            shutil.rmtree(folder)
        self._known.learn_proved(canary.name(kimi, step=step))
        log("passed: it used none")

    async def ask(self, call: Call, folder: Path, log: Callable[[str], None]) -> Answer:
        """Run one process for the call and wait for its answer; see ``teacher.Teacher``."""
        ready = self._laid_out
        kimi = ready.kimi
        agent = ready.agents[call.step is not None]
        argv = kimi_program.command(kimi, agent, self._settings.teacher, call)
        clock = asyncio.get_running_loop().time
        with self._working_folder(ready) as workdir:
            child = await self._spawn(call, argv, folder, workdir)
            started = clock()
            try:
                lines = await self._watch(child, folder, ready, log)
                code = await child.wait()
            finally:
                await child.stop()
            seconds = clock() - started
            left = _holds_anything(workdir)
            usage = kimi_sessions.usage_of(ready.home, kimi.dialect, workdir)
        if left:
            raise _tool_fault()  # whatever its output says: nothing but a tool writes into its folder
        answer = replace(_judge(lines, folder, kimi, code), seconds=seconds)
        return answer if usage is None else _with_usage(answer, usage)

    def read_growing(self, folder: Path) -> str:
        """Kimi tells its answer when it is whole."""
        return ""

    def read_answer(self, folder: Path) -> Answer | None:
        """The answer in a call's folder, if Kimi Code's own end mark is there.

        The legacy program has no such mark; its answer is one line, and whether it is whole the contract tells.
        """
        lines = kimi_output.read_lines(_read(folder / OUT, MAX_OUTPUT))
        if kimi_output.uses_tool(lines):
            raise _tool_fault()
        text, session = kimi_output.answer_text(lines), kimi_output.session(lines)
        legacy = not any(line.kind == "version" for line in lines)
        if not text or (session is None and not legacy):
            return None
        answer = Answer(text=text, metadata={"recipe": prompts.RECIPE})
        usage = kimi_sessions.usage_of_session(self._home("kimi-code"), session) if session else None
        return answer if usage is None else _with_usage(answer, usage)

    async def close(self) -> None:
        """Remove the working folders; calls end with whoever asked them."""
        if self._ready is not None:
            self._remove(self._ready.root)
            self._ready = None

    @property
    def _laid_out(self) -> _Ready:
        if self._ready is None:
            raise RuntimeError("start() comes first")
        return self._ready

    async def _spawn(self, call: Call, argv: list[str], folder: Path, workdir: Path) -> Child:
        try:
            return await self._supervisor.spawn(
                f"kimi-{call.instance}",
                argv,
                cwd=workdir,
                env=self._environment,
                stdout=folder / OUT,
                stderr=folder / ERR,
                max_file=MAX_FILE,
            )
        except OSError as error:
            busy = error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
            message = f"{argv[0]} could not be started: {error.strerror}."
            raise TeacherFault("transient" if busy else "protocol", message) from None

    async def _watch(self, child: Child, folder: Path, ready: _Ready, log: Callable[[str], None]) -> list[OutputLine]:
        """Follow a call until its process ends; what it wrote to standard output.

        Raises:
            TeacherFault: a watchdog, the tripwire, or output without end; the process then still runs.
            UserError: the program is another version than the one that was looked at.
        """
        clock = asyncio.get_running_loop().time
        out, err = LineReader(folder / OUT, longest=MAX_OUTPUT), LineReader(folder / ERR)
        lines: list[OutputLine] = []
        started = last = clock()
        spoke = done = False

        def note(line: OutputLine) -> None:
            self._check_version(line, ready.kimi)
            _log_line(line, log)
            lines.append(line)

        while not done:
            watchdogs.check(ready.limits, now=clock(), started=started, last=last, spoke=spoke)
            done = await child.ended_within(_LOOK - clock() % _LOOK)  # all calls are looked at in one go
            if _hand_on(out, err, note, log):
                spoke, last = True, clock()
        return lines

    def _check_version(self, line: OutputLine, kimi: Kimi) -> None:
        """Only the version that was found is known to keep its hands off tools."""
        if line.kind == "version" and line.text != kimi.version:
            self._known.forget(kimi.path)
            raise UserError(
                f"{kimi.path} was version {kimi.version} and says now that it is {line.text}.",
                "Run the same command again: the new version is looked at first.",
                ExitCode.NOT_READY,
            )

    # Working folders: <temporary root>/<unique name>-<slot>, empty, outside any repository

    def _lay_out(self, kimi: Kimi) -> None:
        root = _temporary_root()
        self._run.spool.mkdir(parents=True, exist_ok=True)
        workspace.replace(self._root_note, f"{root}\n".encode())  # before it is made: a kill leaves none unknown
        root.mkdir(mode=0o700)
        limits = self._settings.generation
        if kimi.dialect == "kimi-legacy":
            limits = watchdogs.speaks_only_once(limits)
        agents = {
            step is not None: kimi_program.write_agent(root / name, kimi.dialect, steps.system_text(step))
            for name, step in (("whole", None), ("step", Step(role="thesis")))
        }
        self._ready = _Ready(kimi, root, agents, limits, self._home(kimi.dialect))

    @contextmanager
    def _working_folder(self, ready: _Ready) -> Iterator[Path]:
        """An empty folder for one call; with it goes the session that the call leaves in Kimi's home.

        Slots are used again, since Kimi remembers each folder that it ever ran in.
        """
        slot = next(number for number in range(1, len(self._slots) + 2) if number not in self._slots)
        self._slots.add(slot)
        workdir = ready.root / f"{ready.root.name}-{slot}"
        try:
            if not workdir.is_dir():
                workdir.mkdir(mode=0o700)
            yield workdir
        finally:
            kimi_sessions.remove(ready.home, ready.kimi.dialect, workdir)
            if _holds_anything(workdir):
                shutil.rmtree(workdir, ignore_errors=True)
            self._slots.discard(slot)

    def _home(self, dialect: Dialect) -> Path:
        return kimi_program.home(dialect, self._own_environment)

    @property
    def _root_note(self) -> Path:
        """Says where the working folders are, for the next core to tidy up after one that was killed."""
        return self._run.spool / "kimi-folder"

    def _remove(self, root: Path) -> None:
        """Remove the working folders and their sessions, and the note of them; what is left of them is known by it."""
        dialects: tuple[Dialect, ...] = ("kimi-code", "kimi-legacy")
        gone = [
            kimi_sessions.remove(self._home(dialect), dialect, workdir)
            for workdir in root.glob(f"{root.name}-*")
            for dialect in dialects
        ]
        if not all(gone):
            return
        shutil.rmtree(root, ignore_errors=True)
        if not root.exists():
            self._root_note.unlink(missing_ok=True)


def _hand_on(out: LineReader, err: LineReader, note: Callable[[OutputLine], None], log: Callable[[str], None]) -> bool:
    """Hand on what is new on both streams; returns whether there was anything.

    Raises:
        TeacherFault: a tool, or output without end.
    """
    before = out.offset + err.offset
    for lines in _bounded(out):
        for line in lines:
            note(kimi_output.read_line(line))
    for lines in _bounded(err):
        for line in lines:
            if said := clean(line).strip():
                log(said)
    return out.offset + err.offset > before


def _bounded(reader: LineReader) -> Iterator[list[str]]:
    for lines in reader.drain():
        if reader.offset > MAX_OUTPUT:
            raise TeacherFault("protocol", f"kimi wrote more than {MAX_OUTPUT >> 20} MiB and was stopped.")
        yield lines


def _log_line(found: OutputLine, log: Callable[[str], None]) -> None:
    if found.kind == "tool":
        log("tool use: the call is stopped")
        raise _tool_fault()
    if found.kind == "retry":
        if found.delay is not None and found.delay >= LONG_RETRY:
            raise classify_retry(clean(found.text), found.status, found.delay)
        log(f"kimi tries again by itself in {found.delay or 0:.1f} s: {clean(found.text)}")
    elif found.kind in ("text", "other"):
        log(clean(found.text))


def _with_usage(answer: Answer, usage: Usage) -> Answer:
    """An answer with what its session tells of it.

    Raises:
        TeacherFault: ``filtered``, it is no answer to the prompt.
    """
    if usage.summarised:
        raise TeacherFault("filtered", "The prompt is too long for the model: kimi answered a summary of it.")
    return replace(
        answer,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        truncated=usage.truncated,
    )


def _tool_fault() -> TeacherFault:
    return TeacherFault(
        "tool_use",
        "The agent tried to use a tool, though it has none; the call was stopped.",
        "The prompt is set aside. Look at its text: it may try to give orders.",
    )


def _temporary_root() -> Path:
    """Where a folder of ours can be made: outside any git repository, whose agent files and notes Kimi would read."""
    for place in dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))):  # noqa: S108 - mkdtemp
        resolved = place.resolve()
        if resolved.is_dir() and not any((above / ".git").exists() for above in (resolved, *resolved.parents)):
            return resolved / f"{kimi_sessions.PREFIX}{uuid.uuid4().hex[:12]}"
    raise TeacherFault("protocol", "Every folder for temporary files lies in a git repository.", "Set TMPDIR.")


def _judge(lines: list[OutputLine], folder: Path, kimi: Kimi, code: int) -> Answer:
    """The answer of a call that has ended, with no tool in its lines, or the fault that it ended in."""
    if code != 0:
        raise classify(kimi.dialect, code, _read(folder / OUT, MAX_OUTPUT)[-_TAIL:], _read(folder / ERR, _TAIL))
    text = kimi_output.answer_text(lines)
    if text and (kimi.dialect == "kimi-legacy" or kimi_output.session(lines) is not None):
        return Answer(text=text, metadata={"recipe": prompts.RECIPE})
    told = _read(folder / ERR, _TAIL) or "\n".join(line.text for line in lines if line.kind == "other")
    said = " ".join(clean(told).split())[:200] or "nothing"
    raise TeacherFault("protocol", f"kimi ended without an answer; it said: {said}", "Run kimi by hand to see more.")


def _holds_anything(folder: Path) -> bool:
    with os.scandir(folder) as found:
        return next(found, None) is not None


def _read(path: Path, limit: int) -> str:
    """The text of a file, of a longer one its first ``limit`` bytes; empty where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
