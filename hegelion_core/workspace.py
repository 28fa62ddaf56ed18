"""Where things live under ``artifacts/``, and how files are written so that nothing is torn.

Appends are one write of whole records and an fsync; replacements are write beside, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hegelion_core.errors import ExitCode, UserError

PACKAGE = Path(__file__).parent
SHARED = 0o666
"""Rights of a new file that everyone may read whom the user's umask lets."""


@dataclass(frozen=True)
class Workspace:
    """A user's folder. With ``demo`` everything lives in ``artifacts/demo``, in the same layout."""

    root: Path
    demo: bool = False

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a name that cannot be written into events and settings."""
        try:
            str(self.root).encode()
        except UnicodeEncodeError:
            shown = str(self.root).encode("utf-8", "replace").decode()
            hint = "Choose a folder with another name (--workspace)."
            raise UserError(f"{shown}: the folder's name is not UTF-8.", hint, ExitCode.USAGE) from None

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts" / "demo" if self.demo else self.root / "artifacts"

    @property
    def runs(self) -> Path:
        return self.artifacts / "runs"

    @property
    def logs(self) -> Path:
        return self.artifacts / "logs"

    @property
    def models(self) -> Path:
        """Models that were made or downloaded here, a model folder each."""
        return self.artifacts / "models"

    @property
    def core_pointer(self) -> Path:
        """Says where the running core is: socket, process id, run folder."""
        return self.artifacts / "core.json"

    def resolve(self, path: Path) -> Path:
        """A path of the settings: relative ones lie below the workspace."""
        return path if path.is_absolute() else self.root / path

    def generator_log(self, instance: int) -> Path:
        """Log of a generator instance; instances count from 1."""
        return self.logs / f"generator_{instance}.log"

    @property
    def train_log(self) -> Path:
        return self.logs / "train.log"

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(self.runs / run_id)

    def all_runs(self) -> list[RunFolder]:
        """The runs that have begun, the one that was at work last first."""
        found = [(log.lstat(), log.parent) for log in self.runs.glob("[!.]*/events.jsonl")]
        logs = [(status.st_mtime, path) for status, path in found if stat.S_ISREG(status.st_mode)]
        return [RunFolder(path) for _, path in sorted(logs, reverse=True)]

    def newest_run(self) -> RunFolder | None:
        """The run that was at work last."""
        return next(iter(self.all_runs()), None)


@dataclass(frozen=True)
class RunFolder:
    """``artifacts/runs/<run id>/``."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def settings(self) -> Path:
        return self.path / "settings.json"

    @property
    def metrics(self) -> Path:
        """Every optimizer step, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def save_request(self) -> Path:
        """Whoever makes this file gets a checkpoint of the training that runs, which removes it then."""
        return self.path / "save"

    @property
    def training_samples(self) -> Path:
        """Answers to a few held-out prompts while training, one JSON object a line."""
        return self.path / "training_samples.jsonl"

    @property
    def best_adapter(self) -> Path:
        """The best adapter of a training that failed."""
        return self.path / "best"

    @property
    def replaced(self) -> Path:
        """Adapters that lay at the adapter path before."""
        return self.path / "replaced"

    @property
    def prompts(self) -> Path:
        """The prompts in the order in which they are asked."""
        return self.path / "prompts.jsonl"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def report(self) -> Path:
        """The page that tells the run in pictures."""
        return self.path / "report.html"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def mark(self) -> Path:
        """The mark that the children of the running core bear."""
        return self.spool / "core.mark"

    @property
    def calls(self) -> Path:
        """A folder for each call to a teacher that has not been handled yet."""
        return self.spool / "calls"

    def reports(self, worker: str) -> Path:
        """Events that a child process of ours appends, which the core follows."""
        return self.spool / f"{worker}.reports.jsonl"


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone, whatever the umask is.

    Raises:
        OSError: it cannot be made, or a file is in the way.
    """
    try:
        path.mkdir(mode=0o700)
    except FileNotFoundError:
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        if not path.is_dir():
            raise


def open_own(path: Path, flags: int, *, make: bool = True) -> int:
    """Open a file that we write ourselves; it is made, if need be and unless ``make`` is off, for its owner alone.

    Links are not followed: who planted one in a folder that someone else works in would choose what is written to. A
    file that has another name is one too: it would be changed there as well. Nor is a pipe waited for.

    Raises:
        OSError: it cannot be opened, is no regular file, or is to be written and has another name.
    """
    fd = os.open(path, flags | (os.O_CREAT if make else 0) | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    if found.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
        os.close(fd)
        raise OSError(errno.EMLINK, "is a hard link", str(path))
    os.set_blocking(fd, True)
    return fd


def append(path: Path, data: bytes) -> None:
    """Append whole records durably: one write, fsync.

    Raises:
        OSError: nothing was appended (a short write is cut back); or it is a link. It names the file.
    """
    fd = open_own(path, os.O_WRONLY | os.O_APPEND)
    try:
        size = os.fstat(fd).st_size
        try:
            if (written := os.write(fd, data)) != len(data):
                raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes fitted")
            os.fsync(fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, size)
            error.filename = str(path)
            raise
    finally:
        os.close(fd)


def replace(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Write ``path`` anew, atomically and durably: readers see the old content or the new, never a part.

    What only has to outlive this process, and not the machine, need not wait for the disk: ``durable=False``. What a
    user may want to hand on has the rights of any new file: ``mode=SHARED``.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    sweep(path.parent, path.name)
    beside.unlink(missing_ok=True)
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


def move(path: Path, target: Path) -> None:
    """Give a file another name, also one on another disk; what stood there is replaced.

    Raises:
        OSError: it cannot be moved, and is where it was.
    """
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        import shutil  # rarely needed, and not light

        beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        sweep(target.parent, target.name)
        try:
            shutil.copy2(path, beside)
            with open(beside, "rb") as file:
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        sync_folder(target.parent)
        path.unlink()


def sweep(folder: Path, name: str = "") -> None:
    """Remove what writers that were killed left beside the files that they meant to replace, or beside the one."""
    for path in strays(folder, name):
        with contextlib.suppress(OSError):  # it is in nobody's way
            path.unlink()


def strays(folder: Path, name: str = "") -> Iterator[Path]:
    """What ``sweep`` removes."""
    for path in folder.glob(f".{glob.escape(name)}*"):
        found = re.fullmatch(r"\.(.+)\.(\d+)\.(tmp|link|safetensors)", path.name)
        if found and name in ("", found[1]) and not alive(int(found[2])):
            yield path


def alive(pid: int) -> bool:
    """Whether a process of this id runs. One that has ended does not, though nobody may have asked for its end yet.

    Who inherits the children of a killed process may take seconds for that, and in some containers never does.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return pid > 0 and not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # it is gone, or there is no /proc
        return False
    return status.rpartition(b")")[2].split()[:1] == [b"Z"]


def sync_folder(path: Path) -> None:
    """Make renames and new names in a folder durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def link(path: Path, target: str) -> None:
    """A relative symbolic link, replaced atomically."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.link")
    sweep(path.parent, path.name)
    beside.unlink(missing_ok=True)
    try:
        beside.symlink_to(target)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hash of a file's content, or for a folder of its files' names and contents in order."""
    digest = hashlib.sha256()
    if path.is_dir():
        for part in sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink()):
            digest.update(f"{part.relative_to(path)}\0{sha256(part)}\n".encode())
        return digest.hexdigest()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path``, waiting for it; the kernel frees it when its holder dies."""
    try:
        fd = open_own(path, os.O_RDWR)
    except FileNotFoundError:
        make_folder(path.parent)
        fd = open_own(path, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
